//! The holes H1 to H28 of the protocol, each with the rule that closes it left out.

/// A rule that is left out, in what this world does around the core: nothing in the core can be
/// switched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Off {
    /// Every rule holds.
    #[default]
    Nothing,
    /// H1: who lost power keeps its incarnation.
    SameIncarnation,
    /// H2: a restart goes on in its generation.
    ResumedGeneration,
    /// H3: the horizon is what was received.
    HorizonOfReceived,
    /// H4: the charter grows before the acking set.
    CharterFirst,
    /// H5: a site is included whatever it holds.
    IncludedBeforeItHolds,
    /// H6: a sync leg reads past the horizon though nobody waits for it.
    SyncLegReadsOn,
    /// H7: evidence is given without a promise.
    EvidenceWithoutPromise,
    /// H8, H26: a site is not waited for any more, whatever the charter says.
    DroppedWithoutCharter,
    /// H9: hosts are answered without a lease.
    NoLease,
    /// H10: what is restored may go, synced or not.
    TrimOnRestored,
    /// H11: floors rise to what was received.
    FloorsOfReceived,
    /// H12: floors are numbers, of whichever history.
    FloorsAreBare,
    /// H13: a site that starts keeps nothing for others before they follow it.
    OnlyFollowersKept,
    /// H14: the tail goes before it is noted what it changed.
    TruncateBeforeIntent,
    /// H15: nothing behind the checkpoint counts as in the volume.
    CheckpointAsBound,
    /// H16: what was trimmed of a tail is not looked for in the own maps.
    OwnMapsForgotten,
    /// H17: a debt does not travel.
    FollowWithoutDebt,
    /// H18: a reset drops updates that never came to the volume.
    ResetUnrestored,
    /// H19: a reset leaves no map for third sites.
    ResetWithoutMaps,
    /// H20: a copy is applied though a newer record came before it.
    CopyOvertaken,
    /// H21: a debt ends block by block.
    ClearedOnArrival,
    /// H24: a member is copied.
    MembersInDebt,
    /// H25: a consistent site is put in debt though another one is.
    SecondDebt,
    /// R17: the word of a site that does not know what it promised counts.
    WordOfNovices,
    /// R18: nobody notices that a site was set back.
    SetBackUnseen,
}
