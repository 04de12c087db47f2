//! What a test sees of the sites.

use super::{World, site};
use trefoil_core::engine::reign::{Completed, Effect, Refusal, Reign};
use trefoil_core::model::{Generation, Incarnation, Role, SiteName};

impl World {
    /// Whether hosts are not answered because nobody else holds what they write.
    pub fn held(&self, name: &str) -> bool {
        self.node(name).held
    }

    /// What a site's engine wanted done so far, in order.
    pub fn effects_of(&self, name: &str) -> &[Effect] {
        &self.node(name).effects
    }

    pub fn engine(&self, name: &str) -> &Reign {
        &self.node(name).engine
    }

    pub fn role(&self, name: &str) -> Role {
        self.engine(name).role()
    }

    pub fn serves(&self, name: &str) -> bool {
        self.node(name).alive && self.engine(name).serves()
    }

    pub fn incarnation(&self, name: &str) -> Incarnation {
        self.node(name).incarnation
    }

    pub fn joined(&self, name: &str, other: &str) -> bool {
        self.node(name).joined.contains(&site(other))
    }

    pub fn following(&self, name: &str) -> Option<SiteName> {
        self.node(name).following.clone()
    }

    /// The generation of its candidacy, or the newest that it promised to another.
    pub fn generation_stood_for(&self, name: &str) -> Generation {
        self.engine(name).promised()
    }

    pub fn completed(&self, name: &str) -> Option<&Completed> {
        self.node(name).completed.as_ref()
    }

    pub fn refusal(&self, name: &str) -> Option<&Refusal> {
        self.node(name).refusal.as_ref()
    }

    pub fn lease_until(&self, name: &str) -> u64 {
        self.engine(name).lease_until()
    }

    pub fn now(&self) -> u64 {
        self.now
    }
}
