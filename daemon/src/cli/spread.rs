//! Verbs about a whole site: every machine of it is asked, and each answers for itself.

use super::output::{Format, say, say_json};
use super::{Client, Failure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use trefoil_core::model::{MachineName, SiteName};

/// The schema of what several machines answered.
const SCHEMA: &str = "trefoil.machines/1";

/// What one machine answered.
pub(super) struct Answer<T> {
    /// Its name; `None` for the only one of a site that is not spread.
    pub(super) machine: Option<MachineName>,
    pub(super) outcome: Result<T, Failure>,
}

/// Asks every one, one after the other: each is asked, whatever the others said.
pub(super) async fn ask<T: DeserializeOwned>(
    clients: Vec<Client>,
    question: impl AsyncFn(&Client) -> Result<T, Failure>,
) -> Vec<Answer<T>> {
    let mut answers = Vec::with_capacity(clients.len());
    for client in clients {
        let outcome = question(&client).await;
        answers.push(Answer { machine: client.machine().cloned(), outcome });
    }
    answers
}

#[derive(Debug, Serialize)]
struct Document<T> {
    schema: &'static str,
    site: SiteName,
    machines: Vec<MachineDocument<T>>,
}

#[derive(Debug, Serialize)]
struct MachineDocument<T> {
    machine: Option<MachineName>,
    /// What it answered.
    answer: Option<T>,
    /// Why it did not.
    error: Option<String>,
}

/// Says what was answered: of one machine as if there were no other. What failed ends the verb
/// once the rest was said.
pub(super) fn show<T: Serialize>(
    site: &SiteName,
    answers: Vec<Answer<T>>,
    output: Format,
    tell: impl Fn(&T) -> String,
) -> Result<(), Failure> {
    let only = answers.len() == 1;
    let mut failure: Option<Failure> = None;
    let mut machines = Vec::new();
    for Answer { machine, outcome } in answers {
        let (answer, error) = match outcome {
            Ok(answer) => (Some(answer), None),
            Err(failed) => {
                let text = failed.text.clone();
                failure = Some(match failure {
                    None => failed,
                    Some(before) => Failure { text: before.text + "\n" + &text, ..before },
                });
                (None, Some(text))
            }
        };
        machines.push(MachineDocument { machine, answer, error });
    }
    match (output, only) {
        (Format::Json, true) => machines
            .iter()
            .filter_map(|one| one.answer.as_ref())
            .try_for_each(|answer| say_json(answer))?,
        (Format::Json, false) => {
            say_json(&Document { schema: SCHEMA, site: site.clone(), machines })?;
        }
        (Format::Table, _) => {
            let told: Vec<String> =
                machines.iter().filter_map(|one| told(site, one, &tell)).collect();
            if !told.is_empty() {
                say(&told.join("\n\n"))?;
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

fn told<T>(
    site: &SiteName,
    one: &MachineDocument<T>,
    tell: impl Fn(&T) -> String,
) -> Option<String> {
    let text = tell(one.answer.as_ref()?);
    Some(match &one.machine {
        Some(machine) => format!("machine {site}/{machine}\n{text}"),
        None => text,
    })
}
