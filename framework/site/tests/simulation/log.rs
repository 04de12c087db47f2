//! What the sites log: a reign begins when its site says so, however long it lasts, and what it
//! says of losses then was told.

use crate::oracle::{Oracle, SITES};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, fmt as printed};

/// Where takeovers are logged.
const TARGET: &str = "trefoil_site::actor::reign::certificate";

/// Reads what this thread's sites log, for as long as the guard lives; `aloud` prints it, too.
pub fn read(eye: Arc<Mutex<Oracle>>, aloud: bool) -> DefaultGuard {
    let reader = Reader(eye).with_filter(Targets::new().with_target(TARGET, Level::INFO));
    let printer = aloud.then(|| {
        let printer = printed::layer().with_test_writer().without_time();
        printer.with_filter(EnvFilter::from_default_env())
    });
    let subscriber = tracing_subscriber::registry().with(reader).with(printer);
    tracing::subscriber::set_default(subscriber)
}

struct Reader(Arc<Mutex<Oracle>>);

impl<S: Subscriber> Layer<S> for Reader {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let site = SITES.iter().position(|name| *name == said.site);
        if let (Some(site), "took over" | "leads") = (site, said.message.as_str()) {
            let mut eye = self.0.lock();
            let reign = eye.sites[site].reign();
            eye.begins(site, reign);
        }
    }
}

#[derive(Default)]
struct Said {
    message: String,
    site: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "site" => self.site = format!("{value:?}"),
            _ => {}
        }
    }
}
