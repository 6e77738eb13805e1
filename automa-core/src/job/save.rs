//! Saving a job: what is asked for is checked, and it begins from the present.

use automa_sandbox::Destination;
use jiff::Timestamp;

use super::{
    Hook, Job, JobNow, Jobs, Misfire, NewHook, Overlap, Rules, Trigger, claim, find, now, plan,
};
use crate::{
    Error, Result,
    actor::Permission,
    audit::{Action, Entry},
    error::FieldError,
    event::Event,
    execution::{LimitsRequest, Parameters, Retry, check_unattended},
    id::{JobId, ScriptId},
    script,
    store::{
        self,
        change::{Change, Snapshot, View},
    },
};

/// Shortest and longest time within which slots are made up for: a minute, and 366 days.
const WITHIN_MS: std::ops::RangeInclusive<u64> = 60_000..=366 * 24 * 60 * 60 * 1000;

/// A job to be created, or what one is to become.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// See [`Job::name`].
    pub name: String,
    /// See [`Job::script`]. It has to be one that may run unattended.
    pub script: ScriptId,
    /// See [`Job::version`].
    pub version: Option<u32>,
    /// See [`Job::parameters`]: what the version allows that would run now.
    pub parameters: Parameters,
    /// See [`Job::limits`].
    pub limits: LimitsRequest,
    /// See [`Job::network`].
    pub network: Vec<Destination>,
    /// See [`Job::priority`].
    pub priority: Option<i8>,
    /// See [`Job::retry`].
    pub retry: Option<Retry>,
    /// See [`Job::trigger`]. A new one has to have a time to come.
    pub trigger: Trigger,
    /// See [`Job::rules`].
    pub rules: Rules,
    /// See [`Job::misfire`].
    pub misfire: Misfire,
    /// See [`Job::overlap`].
    pub overlap: Overlap,
    /// See [`Job::paused`].
    pub paused: bool,
    /// Whether calls of its webhook have to be signed.
    pub signed: bool,
}

/// A job that was saved.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The job as it is now.
    pub now: JobNow,
    /// Its webhook, if that is new: nobody is told again.
    pub hook: Option<NewHook>,
}

impl NewJob {
    /// A job with nothing but what each has.
    pub fn new(name: impl Into<String>, script: ScriptId, trigger: Trigger) -> Self {
        Self {
            name: name.into(),
            script,
            version: None,
            parameters: Parameters::new(),
            limits: LimitsRequest::default(),
            network: Vec::new(),
            priority: None,
            retry: None,
            trigger,
            rules: Rules::default(),
            misfire: Misfire::default(),
            overlap: Overlap::default(),
            paused: false,
            signed: false,
        }
    }

    /// A job as what it would be saved as.
    #[must_use]
    pub fn of(job: Job) -> Self {
        Self {
            name: job.name,
            script: job.script,
            version: job.version,
            parameters: job.parameters,
            limits: job.limits,
            network: job.network,
            priority: job.priority,
            retry: job.retry,
            trigger: job.trigger,
            rules: job.rules,
            misfire: job.misfire,
            overlap: job.overlap,
            paused: job.paused,
            signed: job.hook.is_some_and(|hook| hook.is_signed()),
        }
    }

    fn check(&self, errors: &mut Vec<FieldError>) {
        if !script::is_line(&self.name, 200) {
            errors.push(FieldError::new("name", "must be one line of 1 to 200 characters"));
        }
        self.trigger.check(errors);
        self.rules.check(&self.trigger, errors);
        if let Misfire::CatchUp { within_ms, most } = self.misfire {
            if !WITHIN_MS.contains(&within_ms) {
                let reason = "must be 60000 to 31622400000: a minute to 366 days";
                errors.push(FieldError::new("misfire.within_ms", reason));
            }
            if !(1..=1000).contains(&most) {
                errors.push(FieldError::new("misfire.most", "must be 1 to 1000"));
            }
        }
        if self.signed && self.trigger != Trigger::Webhook {
            let reason = "is for webhooks, whose calls can be signed";
            errors.push(FieldError::new("signed", reason));
        }
    }
}

impl Jobs<'_> {
    /// Creates a job. It is due from now on, unless it is paused.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::Invalid`], [`Error::NotFound`] for the script or its version,
    /// and the store's.
    pub async fn create(&self, new: NewJob) -> Result<Saved> {
        self.actor.require(Permission::WriteJobs)?;
        let clock = &*self.automa.clock;
        let (id, at) = (JobId::generate(clock), clock.now());
        let (job, hook) = self.checked(id, new, at, None).await?;
        let next = plan::first(&job, at)?;
        let entry = Entry::new(clock, self.actor, Action::JobCreated(id));
        let change = move |change: &mut Change| {
            store::jobs::put(change, &job)?;
            store::jobs::put_next(change, id, next)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::JobChanged(id));
            now(change, job.clone())
        };
        let now = self.automa.store.write(change).await?;
        self.automa.schedule_changed();
        Ok(Saved { now, hook })
    }

    /// Changes a job. With another trigger or other rules it begins anew from the present: slots that
    /// were missed before are not made up for, and none comes again. From now on it runs in the name of
    /// who changes it.
    ///
    /// `read` is the revision that the caller has seen: nobody overwrites what they have not read.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create); [`Error::NotFound`] for the job; [`Error::Conflict`] when `read` is
    /// not its revision.
    pub async fn update(&self, id: JobId, read: u32, new: NewJob) -> Result<Saved> {
        self.actor.require(Permission::WriteJobs)?;
        let clock = &*self.automa.clock;
        let at = clock.now();
        let old = self.automa.store.look(|view| as_read(view, id, read))?;
        let (job, hook) = self.checked(id, new, at, Some(&old)).await?;
        let goes_on =
            (&old.trigger, &old.rules, old.paused) == (&job.trigger, &job.rules, job.paused);
        let first = plan::first(&job, at)?;
        let entry = Entry::new(clock, self.actor, Action::JobChanged(id));
        let change = move |change: &mut Change| {
            as_read(change, id, read)?;
            store::jobs::put(change, &job)?;
            if !goes_on {
                store::jobs::put_next(change, id, first)?;
            }
            store::audit::add(change, &entry)?;
            change.emit(Event::JobChanged(id));
            now(change, job.clone())
        };
        let now = self.automa.store.write(change).await?;
        self.automa.schedule_changed();
        Ok(Saved { now, hook })
    }

    /// Gives a job's webhook a new address and, if its calls are signed, a new secret. The old ones are
    /// worth nothing from then on.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`], [`Error::NotFound`]; [`Error::Invalid`] if its trigger is no webhook;
    /// [`Error::Conflict`] when it is changed at the same time; and the store's.
    pub async fn renew_hook(&self, id: JobId) -> Result<Saved> {
        self.actor.require(Permission::WriteJobs)?;
        let clock = &*self.automa.clock;
        let old = self.automa.store.look(|view| find(view, id))?;
        let Some(hook) = old.hook else {
            let reason = "is no webhook, which has an address to renew";
            return Err(Error::Invalid(vec![FieldError::new("trigger", reason)]));
        };
        let (hook, told) = Hook::make(self.automa, id, Some(hook), hook.is_signed())?;
        let (read, updated_at) = (old.revision, clock.now());
        let revision = read.saturating_add(1);
        let job = Job { revision, hook: Some(hook), updated_at, ..old };
        let entry = Entry::new(clock, self.actor, Action::JobHookRenewed(id));
        let change = move |change: &mut Change| {
            as_read(change, id, read)?;
            store::jobs::put(change, &job)?;
            store::audit::add(change, &entry)?;
            change.emit(Event::JobChanged(id));
            now(change, job.clone())
        };
        let now = self.automa.store.write(change).await?;
        Ok(Saved { now, hook: Some(told) })
    }

    /// What is asked for as a job, found right, with its webhook if that is new.
    async fn checked(
        &self,
        id: JobId,
        new: NewJob,
        at: Timestamp,
        old: Option<&Job>,
    ) -> Result<(Job, Option<NewHook>)> {
        let mut errors = Vec::new();
        new.check(&mut errors);
        let before = old.and_then(|old| old.hook);
        let (hook, told) = match (&new.trigger, before) {
            (Trigger::Webhook, Some(hook)) if hook.is_signed() == new.signed => (Some(hook), None),
            (Trigger::Webhook, before) => {
                let (hook, told) = Hook::make(self.automa, id, before, new.signed)?;
                (Some(hook), Some(told))
            }
            _ => (None, None),
        };
        let job = Job {
            id,
            revision: old.map_or(1, |old| old.revision.saturating_add(1)),
            name: new.name,
            script: new.script,
            version: new.version,
            parameters: new.parameters,
            limits: new.limits,
            network: new.network,
            priority: new.priority,
            retry: new.retry,
            trigger: new.trigger,
            rules: new.rules,
            misfire: new.misfire,
            overlap: new.overlap,
            paused: new.paused,
            hook,
            owner: self.actor.user,
            owner_name: self.actor.name.clone(),
            created_at: old.map_or(at, |old| old.created_at),
            updated_at: at,
        };
        let execution = claim::execution(&job, job.parameters.clone());
        match execution.check(at) {
            Err(Error::Invalid(more)) => errors.extend(more),
            checked => drop(checked?),
        }
        FieldError::none_of(errors)?;
        let is_as_before =
            old.is_some_and(|old| old.trigger == job.trigger && old.rules == job.rules);
        let awake = Job { paused: false, ..job.clone() };
        if job.hook.is_none() && !is_as_before && plan::first(&awake, at)?.is_none() {
            let reason = "has no time to come: it is over, or its rules leave none";
            return Err(Error::Invalid(vec![FieldError::new("trigger", reason)]));
        }
        let sight = script::Sight::of(self.actor);
        let user = self.actor.user;
        let check = move |view: &Snapshot| check_unattended(view, (&sight, user), &execution);
        self.automa.store.read(check).await?;
        Ok((job, told))
    }
}

/// A job, if it is as its caller has read it.
fn as_read(view: &impl View, id: JobId, read: u32) -> Result<Job> {
    let job = find(view, id)?;
    if job.revision == read {
        Ok(job)
    } else {
        Err(Error::Conflict { kind: "job", current: job.revision })
    }
}
