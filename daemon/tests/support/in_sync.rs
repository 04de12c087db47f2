//! Waiting for a group to be whole under whoever leads it.

use super::daemons::Trio;

/// Waits until `leader` serves with its pair whole, and both others follow it.
pub fn until_in_sync(trio: &Trio, leader: &str) {
    trio.until("it serves, and the pair is whole", leader, |status| {
        let group = &status["groups"][0];
        group["serving"] == true && group["charter"]["in_sync"].as_array().unwrap().len() == 2
    });
    for site in ["a", "b", "c"].into_iter().filter(|site| *site != leader) {
        trio.until("it follows whoever leads", site, |status| {
            let follows = &status["groups"][0]["follows"];
            follows["source"] == leader && follows["state"] == "paired"
        });
    }
}
