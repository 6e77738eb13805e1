//! The claim of a slot: what an execution that a job starts brings along into the change that accepts it.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{Became, By, Job, Misfire, Overlap, PastSlot, not_found, plan::Plan};
use crate::{
    Error, Result,
    error::StoreError,
    event::Event,
    execution::{
        DispatchRequest, Execution, Hash, KEYS_EXPIRE_AFTER, NewExecution, Parameters, Place,
        Program, Slot, Submitted,
    },
    id::{ExecutionId, JobId},
    store::{self, change::Change},
};

/// How many executions of one job may be open, whatever its rule for overlaps.
const OPEN_MAX: usize = 1000;

/// A slot, and what an execution for it is bound to.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) slot: Slot,
    by: By,
    overlap: Overlap,
    /// Of a slot that the trigger gives: where the job goes on.
    plan: Option<Plan>,
    /// By which a call is known that comes again.
    nonce: Option<Hash>,
}

impl Claim {
    /// Of the slot that a plan runs, if it does.
    pub(super) fn planned(job: &Job, plan: &Plan) -> Option<Self> {
        let (at, by) = plan.run?;
        let slot = Slot { job: job.id, at };
        // Several that are made up for at once would otherwise be skipped but for the first.
        let waits = by == By::CatchUp && matches!(job.misfire, Misfire::CatchUp { .. });
        let overlap = match job.overlap {
            Overlap::Skip if waits => Overlap::Queue,
            overlap => overlap,
        };
        Some(Self { slot, by, overlap, plan: Some(plan.clone()), nonce: None })
    }

    /// Of something that is asked for now.
    pub(super) fn asked(job: &Job, by: By, now: Timestamp) -> Self {
        let slot = Slot { job: job.id, at: now };
        Self { slot, by, overlap: job.overlap, plan: None, nonce: None }
    }

    /// The same that is refused when it comes again.
    pub(super) fn once(self, nonce: Option<Hash>) -> Self {
        Self { nonce, ..self }
    }

    /// The place that its execution takes where its script says nothing of places.
    pub(crate) fn place(&self) -> Option<Place> {
        let ordered = matches!(self.overlap, Overlap::Queue | Overlap::Replace);
        let hash: [u8; 32] = Sha256::digest(format!("job {}", self.slot.job)).into();
        let (key, _) = hash.split_first_chunk()?;
        ordered.then_some(Place { key: *key, limit: 1 })
    }

    /// Whether it can be taken now, before anything is written. Tells which executions have to end for
    /// it.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when the job is elsewhere by now, or the slot was decided;
    /// [`Error::NotFound`], [`Error::Overlaps`] and [`Error::Replayed`].
    pub(crate) fn check(&self, change: &Change, now: Timestamp) -> Result<Vec<ExecutionId>> {
        let id = self.slot.job;
        let job = store::jobs::get(change, id)?.ok_or_else(|| not_found(id))?;
        if let Some(plan) = &self.plan {
            if store::jobs::schedule(change, id)?.next != Some(plan.from) {
                return Err(Error::Conflict { kind: "job", current: job.revision });
            }
            if store::jobs::is_decided(change, self.slot)? {
                return Err(Error::Conflict { kind: "slot", current: job.revision });
            }
        }
        if let Some(nonce) = self.nonce
            && store::idempotency::find(change, nonce, now)?.is_some()
        {
            return Err(Error::Replayed);
        }
        let open = store::executions::open_of_job(change, id, OPEN_MAX)?;
        match self.overlap {
            Overlap::Replace => Ok(open),
            Overlap::Skip if !open.is_empty() => Err(Error::Overlaps { open: open.len() }),
            _ if open.len() == OPEN_MAX => Err(Error::Overlaps { open: OPEN_MAX }),
            _ => Ok(Vec::new()),
        }
    }

    /// Records that the slot has become an execution, and moves the job on.
    pub(crate) fn record(&self, change: &mut Change, execution: &Execution) -> Result<()> {
        let Slot { job, at } = self.slot;
        let (by, became) = (self.by, Became::Started(execution.id));
        let decided_at = execution.created_at;
        if let Some(plan) = &self.plan {
            move_on(change, job, plan)?;
        }
        store::jobs::put_slot(change, job, &PastSlot { at, decided_at, by, became })?;
        if let Some(nonce) = self.nonce {
            let expires_at = decided_at.checked_add(KEYS_EXPIRE_AFTER).unwrap_or(Timestamp::MAX);
            let seen = Submitted { execution: execution.id, request: [0; 32], expires_at };
            store::idempotency::put(change, nonce, &seen, decided_at)?;
        }
        Ok(())
    }
}

/// Moves a job on without an execution: because a plan starts none, or for a reason, which is recorded.
/// Does nothing if the job is elsewhere by now.
pub(super) fn decide(
    change: &mut Change,
    job: JobId,
    plan: &Plan,
    skipped: Option<&PastSlot>,
) -> Result<(), StoreError> {
    if store::jobs::schedule(change, job)?.next != Some(plan.from) {
        return Ok(());
    }
    move_on(change, job, plan)?;
    if let Some(skipped) = skipped {
        store::jobs::put_slot(change, job, skipped)?;
        store::jobs::count_slots(change, job, skipped)?;
    }
    change.emit(Event::JobChanged(job));
    Ok(())
}

fn move_on(change: &mut Change, job: JobId, plan: &Plan) -> Result<(), StoreError> {
    store::jobs::put_next(change, job, plan.next)?;
    if let Some(note) = &plan.note {
        store::jobs::put_slot(change, job, note)?;
        store::jobs::count_slots(change, job, note)?;
    }
    Ok(())
}

/// What a job runs.
pub(super) fn execution(job: &Job, parameters: Parameters) -> NewExecution {
    NewExecution {
        program: Program::Script { id: job.script, version: job.version },
        parameters: Some(parameters),
        limits: job.limits,
        network: job.network.clone(),
        dispatch: DispatchRequest {
            priority: job.priority,
            retry: job.retry.clone(),
            ..DispatchRequest::default()
        },
        idempotency_key: None,
    }
}
