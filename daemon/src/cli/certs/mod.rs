//! `trefoil certs`: the private authority of a deployment, and the certificates that it makes.
//!
//! `layout` puts a host's files under the names that NBD clients look for. Nothing here shows a
//! key, and nothing overwrites one unless it is renewed.

mod layout;

use super::output::{Format, say, say_json, table};
use super::{Exit, Failure};
use layout::Layout;
use serde::Serialize;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use trefoil_core::model::SiteName;
use trefoil_transports::tls::Authority;
use trefoil_transports::tls::authority::{AUTHORITY_VALIDITY, Listed, MachineNames, VALIDITY};

const DAY_SECONDS: u64 = 86_400;
/// The longest validity: clients refuse times beyond a century or two.
const VALIDITY_MAX: Duration = Duration::from_secs(100 * 365 * DAY_SECONDS);

/// Options of `trefoil certs`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory of the authority and its certificates
    #[arg(long, global = true, value_name = "DIR", default_value = "tls")]
    dir: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a private authority: ca.pem goes to every site, ca.key stays here
    Init {
        /// How long it is valid
        #[arg(long, value_name = "TIME", value_parser = validity)]
        valid_for: Option<Duration>,
    },
    /// Make keys and certificates of sites and hosts
    Issue(Issue),
    /// Make new keys and certificates for those who have one; the old ones stay accepted
    Renew(Renew),
    /// Take a name's certificates out of the list of accepted ones
    Revoke {
        /// Whose certificates
        name: String,
        /// Only those that were replaced by `renew`
        #[arg(long)]
        old: bool,
    },
    /// List the certificates: whose, how long, accepted or not; never a key
    Show {
        /// The form of the output
        #[arg(long, short, value_enum, default_value_t)]
        output: Format,
    },
}

#[derive(Debug, clap::Args)]
struct Issue {
    /// The sites
    #[arg(value_name = "SITE", required_unless_present = "host")]
    sites: Vec<String>,
    /// A host that uses volumes over NBD; may be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// A name of the machine that the sites are on, for NBD clients that check it
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// An address of that machine
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,
    /// How long they are valid
    #[arg(long, value_name = "TIME", value_parser = validity)]
    valid_for: Option<Duration>,
    /// Also put each host's files into a directory of its own, under the names of this client
    #[arg(long, value_enum)]
    layout: Option<Layout>,
}

#[derive(Debug, clap::Args)]
struct Renew {
    /// Whose certificates
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
    /// Those of everybody
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// How long they are valid
    #[arg(long, value_name = "TIME", value_parser = validity)]
    valid_for: Option<Duration>,
    /// Also replace each host's files in the directory of its own
    #[arg(long, value_enum)]
    layout: Option<Layout>,
}

fn validity(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time; expected for example `365days`");
    match humantime::parse_duration(text) {
        Ok(time) if time > Duration::ZERO && time <= VALIDITY_MAX => Ok(time),
        Ok(_) => Err("expected more than nothing, and at most 100 years".to_owned()),
        Err(_) => Err(wrong()),
    }
}

/// What `certs show -o json` answers.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    certificates: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    kind: &'static str,
    valid_from: String,
    valid_until: String,
    days_left: i64,
    accepted: bool,
    sha256: String,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let Args { dir, verb } = args;
    match verb {
        Verb::Init { valid_for } => {
            Authority::init(&dir, valid_for.unwrap_or(AUTHORITY_VALIDITY))?;
            let dir = dir.display();
            say(&format!(
                "made an authority in {dir}\n{dir}/ca.key stays on this machine: whoever has it \
                 can pose as any site\nnext: trefoil certs issue --dir {dir} a b c"
            ))
        }
        Verb::Issue(asked) => issue(&dir, asked),
        Verb::Renew(asked) => renew(&dir, asked),
        Verb::Revoke { name, old } => {
            let authority = Authority::open(&dir)?;
            let gone =
                if old { authority.withdraw_old(&name)? } else { authority.withdraw(&name)? };
            if gone == 0 {
                let text = format!("no certificate of `{name}` is in the list of accepted ones");
                return Err(Failure::new(Exit::Failed, text));
            }
            say(&format!(
                "took {gone} out; give {}/accepted to every site, and let each read it again",
                dir.display()
            ))
        }
        Verb::Show { output } => show(&Authority::open(&dir)?, output),
    }
}

fn issue(dir: &std::path::Path, asked: Issue) -> Result<(), Failure> {
    let Issue { sites, host, dns, ip, valid_for, layout } = asked;
    let authority = Authority::open(dir)?;
    let time = valid_for.unwrap_or(VALIDITY);
    let machine = MachineNames { dns, ip };
    if host.is_empty() && layout.is_some() {
        return Err(Failure::new(Exit::Usage, "--layout is about hosts: name one with --host"));
    }
    for name in &sites {
        authority.issue_site(&SiteName::new(name)?, &machine, time)?;
        tell(dir, "site", name)?;
    }
    for name in &host {
        authority.issue_host(name, time)?;
        tell(dir, "host", name)?;
        if let Some(layout) = layout {
            say(&format!("for its client: {}", layout.put(dir, name)?.display()))?;
        }
    }
    Ok(())
}

fn tell(dir: &std::path::Path, kind: &str, name: &str) -> Result<(), Failure> {
    let dir = dir.display();
    say(&format!("{kind} {name}: {dir}/{name}.pem, {dir}/{name}.key"))
}

fn renew(dir: &std::path::Path, asked: Renew) -> Result<(), Failure> {
    let Renew { mut names, all, valid_for, layout } = asked;
    let authority = Authority::open(dir)?;
    let listed = authority.list()?;
    if all {
        names = listed.iter().map(|listed| listed.identity.name.clone()).collect();
    }
    for name in &names {
        let identity = authority.renew(name, valid_for.unwrap_or(VALIDITY))?;
        tell(dir, identity.kind.word(), name)?;
        let host = identity.kind == trefoil_transports::tls::Kind::Host;
        if let Some(layout) = layout.filter(|_| host) {
            say(&format!("for its client: {}", layout.put(dir, name)?.display()))?;
        }
    }
    say("the old ones stay accepted until `trefoil certs revoke NAME --old`")
}

fn show(authority: &Authority, output: Format) -> Result<(), Failure> {
    let now = SystemTime::now();
    let rows: Vec<Row> = authority.list()?.into_iter().map(|listed| row(listed, now)).collect();
    match output {
        Format::Json => say_json(&Document { schema: "trefoil.certs/1", certificates: rows }),
        Format::Table => {
            let header =
                ["NAME", "KIND", "VALID FROM", "VALID UNTIL", "DAYS LEFT", "ACCEPTED", "SHA-256"];
            let rows = rows.into_iter().map(|row| {
                let Row { name, kind, valid_from, valid_until, days_left, accepted, sha256 } = row;
                let left = match days_left {
                    left if left < 0 => "expired".to_owned(),
                    left => left.to_string(),
                };
                let accepted = if accepted { "yes" } else { "no" }.to_owned();
                vec![name, kind.to_owned(), valid_from, valid_until, left, accepted, sha256]
            });
            say(&table(&header, rows.collect()))
        }
    }
}

fn row(listed: Listed, now: SystemTime) -> Row {
    let Listed { identity, accepted } = listed;
    let days = |time: Duration| i64::try_from(time.as_secs() / DAY_SECONDS).unwrap_or(i64::MAX);
    let days_left = match identity.valid_until.duration_since(now) {
        Ok(left) => days(left),
        Err(past) => -1 - days(past.duration()),
    };
    Row {
        name: identity.name,
        kind: identity.kind.word(),
        valid_from: moment(identity.valid_from),
        valid_until: moment(identity.valid_until),
        days_left,
        accepted,
        sha256: identity.fingerprint,
    }
}

/// RFC 3339, UTC.
fn moment(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| "-".to_owned(), |at| at.to_string())
}
