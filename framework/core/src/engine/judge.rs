//! The one decision behind every resync: what a follower lacks, and the cheapest way to bring it.
//!
//! Takeover, failback, rejoin, resume after a suspension and a new site all go through
//! [`judge`]. It is pure and total: any two views give a plan, if need be a refusal with choices.

use crate::model::{
    Chain, Changed, Debt, ExtentSet, Generation, Lineage, MissedMap, Position, SiteName,
    UpdateNumber,
};
pub use crate::model::{Plan, PlanDebt, PlanKind};
use serde::{Deserialize, Serialize};

/// What a source says of itself, as seen for one follower.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceView {
    /// The source.
    pub site: SiteName,
    /// The generation under which it serves.
    pub generation: Generation,
    /// The reigns that its history went through.
    pub lineage: Lineage,
    /// The newest update in its journal (not the horizon: a mirror may be ahead of that).
    pub newest: UpdateNumber,
    /// The point right before the oldest record in its journal.
    pub base: Position,
    /// Its chain at the follower's newest number, if its journal or its base can tell.
    pub chain_at_follower: Option<Chain>,
    /// Where its history and the follower's part, if its journal or its base can tell.
    pub fork: Option<Position>,
    /// The newest reign that was begun by consent to a loss, as far as the source knows.
    pub consented: Generation,
    /// Where the stream of a copy begins, if the source knows a later point than its base that
    /// every site it waits for holds durably (its horizon): then no older record is streamed.
    pub copy_base: Option<Position>,
    /// What it trimmed that the follower lacked.
    pub map: Option<MissedMap>,
    /// Whether the source is in debt itself.
    pub debt: bool,
    /// Another site that is in debt, or is being brought there.
    pub owing: Option<SiteName>,
    /// About how many bytes of records the follower lacks, if the source can tell.
    pub bytes_between: Option<u64>,
    /// How many bytes the volumes of the group have.
    pub volume_bytes: u64,
}

/// What a follower says of itself in its `Follow`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowerView {
    /// The follower.
    pub site: SiteName,
    /// The reigns that its history went through.
    pub lineage: Lineage,
    /// The newest update in its journal.
    pub newest: Position,
    /// The number right before the oldest record in its journal.
    pub base: UpdateNumber,
    /// What its volumes owe.
    pub debt: Option<Debt>,
    /// The earliest number from which its own maps name what the records changed that it trimmed.
    pub maps_from: Option<UpdateNumber>,
    /// Whether the operator chose the source's history over its own tail.
    pub discards_tail: bool,
    /// Whether it never held anything of the group.
    pub blank: bool,
    /// Whether its volumes hold data all the same: of the group from before it forgot, or foreign.
    pub holds: bool,
}

/// Decides how `follower` is brought to the history of `source`.
///
/// - [`PlanKind::InSync`] and [`PlanKind::Delta`] only where the follower's position, chain
///   included, is proven to lie on the source's history and the source's journal reaches back.
/// - [`PlanKind::Rewind`] only where what the follower has and the source never had cannot have
///   been answered to a host, or the operator chose; and only where all that it changed is known.
/// - [`PlanKind::Map`] only where the map reaches back to the follower's position.
/// - [`PlanKind::Compare`] where nothing cheaper is proven right, and the follower's volumes hold
///   data: it owes as with a copy, and what turns out to be the same does not travel.
/// - [`PlanKind::Copy`] where they hold none.
/// - One that would leave a consistent follower in debt waits while another site is (rule R14): two
///   of them would leave the source alone with a consistent image.
/// - Everything else is [`PlanKind::Refuse`]: the follower keeps what it has.
pub fn judge(source: &SourceView, follower: &FollowerView) -> Plan {
    let newest = follower.newest.number;
    let fork = source.lineage.fork(source.newest, &follower.lineage, newest);
    let case = Case { source, follower, fork };
    let plan = case
        .unfit_source()
        .or_else(|| case.initial_copy())
        .or_else(|| case.tail())
        .or_else(|| case.other_content())
        .or_else(|| case.beyond_journal())
        .or_else(|| case.unproven())
        .or_else(|| case.open_debt())
        .unwrap_or_else(|| case.stream());
    case.one_at_a_time(plan)
}

/// Two views, and where their histories part.
struct Case<'a> {
    source: &'a SourceView,
    follower: &'a FollowerView,
    fork: UpdateNumber,
}

impl Case<'_> {
    /// Refuses where this source must not feed this follower at all.
    fn unfit_source(&self) -> Option<Plan> {
        let (source, follower) = (self.source, self.follower);
        if source.debt {
            let site = &source.site;
            return Some(self.refuse(
                format!("{site} is in debt itself: its volumes are not what its journal says"),
                &[
                    format!("wait until the copy to {site} has ended"),
                    format!("let {} follow a site without debt", follower.site),
                ],
            ));
        }
        let of_lineage = follower.lineage.last().map(|reign| reign.generation);
        let theirs = of_lineage.unwrap_or_default().max(follower.newest.generation);
        if theirs > source.generation {
            return Some(self.refuse(
                format!(
                    "{} holds updates of generation {theirs} (id {:016x}); {} serves under \
                     generation {} (id {:016x}), which is older",
                    follower.site, theirs.id, source.site, source.generation, source.generation.id
                ),
                &[
                    format!("let {} follow the site that leads generation {theirs}", source.site),
                    format!("take over at {}, which has the newer history", follower.site),
                ],
            ));
        }
        None
    }

    /// A follower that never held anything is filled.
    fn initial_copy(&self) -> Option<Plan> {
        let follower = self.follower;
        let empty = follower.newest.number == UpdateNumber::ZERO && follower.debt.is_none();
        (follower.blank && empty).then(|| {
            self.copy_everything(format!(
                "initial copy: {} never held anything of the group",
                follower.site
            ))
        })
    }

    /// The follower holds what the source never had: it is set aside and undone, unless a host may
    /// have been told of it. Then it is kept until the operator chose.
    fn tail(&self) -> Option<Plan> {
        let (source, follower) = (self.source, self.follower);
        let newest = follower.newest.number;
        if newest <= self.fork {
            return None;
        }
        let tail = format!(
            "{} holds {} updates ({} to {newest}) that {} never had; the histories part after {}",
            follower.site,
            newest.since(self.fork),
            self.fork.next(),
            source.site,
            self.fork,
        );
        let forked = source.lineage.generation_at(self.fork);
        if source.consented > forked && !follower.discards_tail {
            let why = format!(
                "{tail}. Generation {} was begun by consent to a loss, so a host may have been \
                 told of them",
                source.consented
            );
            return Some(self.refuse(why, &self.choices_of_divergence()));
        }
        let known =
            follower.base <= self.fork || follower.maps_from.is_some_and(|from| from <= self.fork);
        if known {
            return Some(self.rewind(tail));
        }
        let why = format!(
            "{tail}; the journal of {} begins at {}, behind the fork, and no map names what went \
             before",
            follower.site,
            follower.base.next()
        );
        if follower.discards_tail {
            let plan = self.copy_everything(format!("{why}: everything is copied"));
            return Some(Plan { drop_to: self.fork, ..plan });
        }
        Some(self.refuse(why, &self.choices_of_divergence()))
    }

    /// Undoes the tail. What it changed the follower finds in its own journal and maps.
    fn rewind(&self, tail: String) -> Plan {
        let (source, follower) = (self.source, self.follower);
        let fork = Position {
            generation: source.lineage.generation_at(self.fork),
            number: self.fork,
            chain: source.fork.map_or(Chain::START, |fork| fork.chain),
        };
        let (base, debt) = match source.fork {
            // Its journal ends at the fork from then on.
            _ if follower.base <= self.fork => (fork, PlanDebt::Nothing),
            // It begins anew: at the fork, or where the source's journal begins.
            Some(fork) => (fork, PlanDebt::Nothing),
            None => (source.base, self.map_debt().unwrap_or(PlanDebt::Everything)),
        };
        Plan {
            kind: PlanKind::Rewind,
            drop_to: self.fork,
            debt,
            base,
            updates: source.newest.since(self.fork),
            bytes: None,
            ..self.kept(format!(
                "{tail}. They are set aside and dropped; only what they changed is fetched"
            ))
        }
    }

    /// Refuses where the follower stands on the same number with other content.
    fn other_content(&self) -> Option<Plan> {
        let (source, follower) = (self.source, self.follower);
        let newest = follower.newest.number;
        let generation = source.lineage.generation_at(newest);
        let other_chain = self.chain().is_some_and(|chain| chain != follower.newest.chain);
        if generation == follower.newest.generation && !other_chain {
            return None;
        }
        let why = format!(
            "same number, different content: {} and {} both hold update {newest}, but as {} \
             (chain {}) and {} (chain {}). They diverged before it",
            follower.site,
            source.site,
            follower.newest,
            follower.newest.chain,
            format_args!("{generation}.{newest}"),
            self.chain().map_or_else(|| "unknown".into(), |chain| chain.to_string()),
        );
        let [_, export, take_over] = self.choices_of_divergence();
        Some(self.refuse(why, &[export, take_over]))
    }

    fn choices_of_divergence(&self) -> [String; 3] {
        let (follower, source) = (&self.follower.site, &self.source.site);
        [
            format!(
                "`trefoil rejoin --site {follower}`: sets the updates aside in a file, and brings \
                 {follower} under {source}"
            ),
            format!(
                "export what {follower} holds, then empty the site: it is filled by an initial copy"
            ),
            format!(
                "`trefoil takeover --site {follower} --accept-loss`, if its updates are the ones \
                 to keep; {source} loses"
            ),
        ]
    }

    /// The debt of a follower at the fork, by the source's map; `None` if that does not reach back
    /// so far.
    fn map_debt(&self) -> Option<PlanDebt> {
        let map = self.source.map.as_ref()?;
        let reaches = map.from <= self.fork || self.rewound().is_some_and(|end| map.from <= end);
        let Changed::Extents(extents) = &map.changed else { return None };
        let mut owed = self.owed();
        owed.add_all(extents);
        reaches.then_some(PlanDebt::Extents(owed))
    }

    /// Up to where the follower's debt covers a tail that it dropped, if the source has that on its
    /// history (rule R16).
    fn rewound(&self) -> Option<UpdateNumber> {
        let end = self.follower.debt.as_ref()?.rewound?;
        self.holds(&end).then_some(end.number)
    }

    /// Whether a position lies on the source's history.
    fn holds(&self, position: &Position) -> bool {
        let source = self.source;
        position.number <= source.newest
            && source.lineage.generation_at(position.number) == position.generation
    }

    /// What the follower owes already: all of its debt, if what it was copied so far is of a branch
    /// that the source never had (rule R13).
    fn owed(&self) -> ExtentSet {
        match &self.follower.debt {
            None => ExtentSet::new(),
            Some(debt) if self.holds(&debt.until) => debt.missing.clone(),
            Some(debt) => debt.extents.clone(),
        }
    }

    /// Copies by the map, or everything, where the source's journal does not reach back.
    fn beyond_journal(&self) -> Option<Plan> {
        let (source, newest) = (self.source, self.follower.newest.number);
        if newest >= source.base.number {
            return None;
        }
        let behind = format!(
            "the journal of {} begins at {}, {} holds everything up to {newest}{}",
            source.site,
            source.base.number.next(),
            self.follower.site,
            if self.follower.debt.is_some() { " and is in debt" } else { "" },
        );
        if let Some(PlanDebt::Extents(extents)) = self.map_debt() {
            let (bytes, ranges) = (extents.bytes(), extents.len());
            return Some(Plan {
                kind: self.owed_kind(PlanKind::Map),
                debt: PlanDebt::Extents(extents),
                base: source.base,
                updates: source.newest.since(source.base.number),
                bytes: source.bytes_between.map(|between| between.saturating_add(bytes)),
                ..self.kept(format!(
                    "{behind}; what was trimmed since then changed {bytes} bytes in {ranges} \
                     ranges: only these are copied"
                ))
            });
        }
        let cheaper = match &source.map {
            Some(MissedMap { changed: Changed::Everything, .. }) => {
                "the map of what was trimmed says that everything may differ".into()
            }
            Some(map) => format!("the map of what was trimmed begins at {}, too late", map.from),
            None => "no map of what was trimmed was kept".into(),
        };
        Some(self.copy_everything(format!("{behind}; {cheaper}")))
    }

    /// Copies everything where the source should be able to prove the follower's position, and
    /// cannot.
    fn unproven(&self) -> Option<Plan> {
        if self.chain().is_some() {
            return None;
        }
        Some(self.copy_everything(format!(
            "{} cannot tell its chain at {}, so a delta cannot be proven right",
            self.source.site, self.follower.newest
        )))
    }

    /// Resumes the copy of a follower in debt.
    fn open_debt(&self) -> Option<Plan> {
        let (source, follower) = (self.source, self.follower);
        let debt = follower.debt.as_ref()?;
        if !self.holds(&debt.until) {
            let (bytes, ranges) = (debt.extents.bytes(), debt.extents.len());
            return Some(Plan {
                kind: self.owed_kind(PlanKind::Copy),
                debt: PlanDebt::Extents(debt.extents.clone()),
                updates: source.newest.since(follower.newest.number),
                bytes: source.bytes_between.map(|between| between.saturating_add(bytes)),
                ..self.kept(format!(
                    "{} holds blocks as of {} copied from {}, which is not on the history of {}; \
                     its copy of {bytes} bytes in {ranges} ranges begins anew",
                    follower.site, debt.until, debt.source, source.site
                ))
            });
        }
        let updates = source.newest.since(follower.newest.number);
        let missing = debt.missing.bytes();
        Some(Plan {
            kind: self.owed_kind(PlanKind::Copy),
            debt: PlanDebt::Extents(debt.missing.clone()),
            updates,
            bytes: source.bytes_between.map(|bytes| bytes.saturating_add(missing)),
            ..self.kept(format!(
                "the copy to {} is resumed: {missing} bytes in {} ranges are missing, and \
                 {updates} updates; a delta alone would leave the ranges wrong",
                follower.site,
                debt.missing.len()
            ))
        })
    }

    fn compared(&self, why: &str) -> String {
        let (site, bytes) = (&self.follower.site, self.source.volume_bytes);
        format!("{why}; {site} holds data: {bytes} bytes are compared, what differs is sent")
    }

    /// A debt that is to be compared stays one: most of it may be here.
    fn owed_kind(&self, otherwise: PlanKind) -> PlanKind {
        let compares = self.follower.debt.as_ref().is_some_and(|debt| debt.compare);
        if compares { PlanKind::Compare } else { otherwise }
    }

    /// The follower is a proven prefix: stream what it lacks.
    fn stream(&self) -> Plan {
        let (source, follower) = (self.source, self.follower);
        let updates = source.newest.since(follower.newest.number);
        if updates == 0 {
            let (one, other) = (&follower.site, &source.site);
            return self.kept(format!("{one} and {other} are both at {}", follower.newest));
        }
        Plan {
            kind: PlanKind::Delta,
            updates,
            bytes: source.bytes_between,
            ..self.kept(format!(
                "{} is at {} on the history of {}, whose journal begins at {}: it lacks {} to {}",
                follower.site,
                follower.newest,
                source.site,
                source.base.number.next(),
                follower.newest.number.next(),
                source.newest
            ))
        }
    }

    /// The source's chain at the follower's newest number.
    fn chain(&self) -> Option<Chain> {
        let newest = self.follower.newest.number;
        if newest == UpdateNumber::ZERO {
            Some(Chain::START)
        } else if newest == self.source.base.number {
            Some(self.source.base.chain)
        } else {
            self.source.chain_at_follower
        }
    }

    /// A plan that keeps the follower where it is and copies nothing.
    fn kept(&self, why: String) -> Plan {
        Plan {
            kind: PlanKind::InSync,
            fork: self.fork,
            drop_to: self.follower.newest.number,
            debt: PlanDebt::Nothing,
            base: self.follower.newest,
            target: self.source.newest,
            updates: 0,
            bytes: Some(0),
            why,
        }
    }

    fn refuse(&self, why: String, choices: &[String]) -> Plan {
        Plan { kind: PlanKind::Refuse { choices: choices.to_vec() }, ..self.kept(why) }
    }

    /// Keeps a consistent follower as it is while another site is in debt, unless the operator
    /// wants it brought here all the same.
    fn one_at_a_time(&self, plan: Plan) -> Plan {
        let follower = self.follower;
        let has_image = follower.debt.is_none() && follower.newest.number > UpdateNumber::ZERO;
        let loses_image = plan.leaves_debt() && has_image;
        match &self.source.owing {
            Some(other) if loses_image && !follower.discards_tail => self.refuse(
                format!(
                    "waits for {other}, whose volumes are not consistent yet: until they are, {} \
                     keeps the consistent image it has (then: {}, {})",
                    follower.site, plan.kind, plan.why
                ),
                &[
                    format!("wait until {other} is consistent; it goes on by itself"),
                    format!(
                        "`trefoil rejoin --site {}` does not wait: until one of the two is done, \
                         only {} has a consistent image",
                        follower.site, self.source.site
                    ),
                ],
            ),
            _ => plan,
        }
    }

    fn copy_everything(&self, why: String) -> Plan {
        let source = self.source;
        let usable = |base: &Position| {
            base.number >= source.base.number
                && base.number >= self.follower.newest.number
                && base.number <= source.newest
        };
        let proven = self.chain() == Some(self.follower.newest.chain);
        let base = match source.copy_base.filter(usable) {
            Some(later) => later,
            None if proven && usable(&self.follower.newest) => self.follower.newest,
            None => source.base,
        };
        let (kind, why) = match self.follower.holds {
            false => (PlanKind::Copy, why),
            true => (PlanKind::Compare, self.compared(&why)),
        };
        Plan {
            kind,
            debt: PlanDebt::Everything,
            base,
            updates: source.newest.since(base.number),
            bytes: None,
            ..self.kept(why)
        }
    }
}
