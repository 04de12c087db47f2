//! Addresses by name: sites of one process find each other without ports chosen beforehand.

use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use trefoil_core::port::{Link, Listener, Transport};
use trefoil_core::{Error, Result};

/// Where names lead to. Clones are the same book.
#[derive(Clone, Default)]
pub(super) struct Book(Arc<Mutex<BTreeMap<String, String>>>);

/// A transport whose addresses are names. A listener takes whatever address is free, and the book
/// tells it to those who connect.
pub(super) struct Named {
    inner: Arc<dyn Transport>,
    book: Book,
    /// Where a listener binds; `None`: to its name itself.
    bind: Option<&'static str>,
}

impl Named {
    pub fn new(inner: Arc<dyn Transport>, book: Book, bind: Option<&'static str>) -> Self {
        Self { inner, book, bind }
    }
}

#[async_trait]
impl Transport for Named {
    async fn connect(&self, name: &str) -> Result<Link> {
        let address = self.book.0.lock().get(name).cloned();
        let Some(address) = address else {
            return Err(Error::unavailable(format!("connect to {name}: nobody listens there yet")));
        };
        self.inner.connect(&address).await
    }

    async fn listen(&self, name: &str) -> Result<Box<dyn Listener>> {
        let listener = self.inner.listen(self.bind.unwrap_or(name)).await?;
        self.book.0.lock().insert(name.to_owned(), listener.address());
        Ok(listener)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
