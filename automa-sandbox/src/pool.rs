//! Who may use which slot, and what slots are prepared for.
//!
//! A slot runs one sandbox at a time, and a sandbox is used once. After a run its slot prepares a
//! sandbox of the same [class](Class), so that the next command of that class finds one that only
//! waits to be told what to run. To keep several classes ready there may be more slots than
//! sandboxes run at once; they are made in the background when one was missed.

mod lease;

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedRwLockReadGuard, RwLock, Semaphore},
    task::{AbortHandle, JoinHandle},
    time::{Instant, sleep},
};

pub(crate) use self::lease::Lease;
use crate::{
    cgroup::Cgroups,
    class::Class,
    config::EngineConfig,
    directory::Mounter,
    egress::Resolve,
    error::Error,
    host::Host,
    slots::{Slot, Zygote},
    stdio,
    zygote::{INSIDE_ID, protocol::Template},
};

/// The slots of an engine. Fields are dropped in their order: first the zygote with all processes,
/// then the groups they were in.
pub(crate) struct Pool {
    zygote: Zygote,
    idle: Mutex<Vec<Slot>>,
    groups: Cgroups,
    host: Arc<Host>,
    /// One permit for each sandbox that may run.
    free: Arc<Semaphore>,
    /// One permit for each slot in `idle`, and for each that was lost and could not be replaced.
    present: Semaphore,
    /// How many wait for one of those.
    waiting: AtomicUsize,
    /// Slots that may be made beyond those that exist.
    unmade: Mutex<Vec<usize>>,
    /// Read-locked by whoever has a slot, or makes one.
    in_use: Arc<RwLock<()>>,
    /// How long an interpreter waits, and who looks for those that waited longer.
    patience: Duration,
    ager: OnceLock<AbortHandle>,
    prepares: bool,
    slots: usize,
    /// How many more may run, whose slots are made when they are needed.
    spare: usize,
    null: OwnedFd,
    mounter: Mounter,
    resolver: Arc<dyn Resolve>,
}

impl Pool {
    /// Starts the zygote, and as many slots as sandboxes run at once.
    pub(crate) async fn start(config: EngineConfig) -> Result<Self, Error> {
        let (most, prepares, slots) = (config.most_slots(), config.prepares(), config.slots);
        let (spare, patience) = (config.spare_slots(), config.patience);
        // Before any helper exists: in cgroup v2 this process moves to a group of its own.
        let groups = Cgroups::discover();
        let zygote = Zygote::spawn(&config.helper)?;
        let mounter = Mounter::new(config.helper);
        let shows_trees = !config.trees.is_empty();
        let template = Template {
            slots: most,
            trees: config.trees,
            memory_counted: groups.support().memory.is_ok(),
            hostname: config.hostname,
        };
        let facts = zygote.build(&template).await?;
        let pool = Self {
            zygote,
            idle: Mutex::default(),
            host: Arc::new(Host::new(facts, groups.support(), shows_trees)),
            groups,
            free: Arc::new(Semaphore::new(slots + spare)),
            present: Semaphore::new(0),
            waiting: AtomicUsize::new(0),
            unmade: Mutex::new((slots..most).rev().collect()),
            in_use: Arc::default(),
            patience,
            ager: OnceLock::new(),
            prepares,
            slots,
            spare,
            null: stdio::null().map_err(Error::io("opening /dev/null"))?,
            mounter,
            resolver: config.resolver,
        };
        for index in 0..slots {
            let slot = pool.new_slot(index).await?;
            pool.put(slot);
        }
        Ok(pool)
    }

    pub(crate) fn host(&self) -> &Arc<Host> {
        &self.host
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// Finds the addresses of names on allow-lists.
    pub(crate) fn resolver(&self) -> &Arc<dyn Resolve> {
        &self.resolver
    }

    /// `/dev/null`, open for reading and writing.
    pub(crate) fn null(&self) -> &OwnedFd {
        &self.null
    }

    /// Mounts directories of the host.
    pub(crate) fn mounter(&self) -> &Mounter {
        &self.mounter
    }

    /// Waits until one more sandbox may run, and finds a slot for it: one that is prepared for this
    /// very class, unless it is to be `cold`; else one that is not prepared for anything.
    pub(crate) async fn lease(self: &Arc<Self>, class: &Class, cold: bool) -> Result<Lease, Error> {
        let permit = self.free.clone().acquire_owned().await.map_err(|_| Error::Stopped)?;
        let wanted = (!cold).then_some(class);
        if self.present.available_permits() == 0
            && let Some(reserved) = self.reserve(0)
        {
            // Not here, where whoever waits may stop waiting.
            let (pool, class) = (self.clone(), class.clone());
            log(detach(async move { pool.add(reserved, &class).await }).await.unwrap_or(Ok(())));
        }
        loop {
            let mut lease = self.take(wanted).await?;
            if !lease.slot().is_sound() {
                // It died while nobody used it. Not here, where whoever waits may stop waiting.
                lease.give_up();
                continue;
            }
            if lease.slot().prepared().is_some_and(|it| !serves(&it.class, wanted)) {
                let Some(emptied) = lease.discard().await else { continue };
                lease = emptied;
            }
            lease.next = if cold { lease.missed.take() } else { Some(class.clone()) };
            lease.permit = Some(permit);
            return Ok(lease);
        }
    }

    /// Waits for a slot that nobody uses, and takes the one that fits best.
    async fn take(self: &Arc<Self>, wanted: Option<&Class>) -> Result<Lease, Error> {
        let in_use = self.in_use.clone().try_read_owned().map_err(|_| Error::Stopped)?;
        let waiting = Waiting::new(&self.waiting);
        let present = self.present.acquire().await.map_err(|_| Error::Stopped)?;
        drop(waiting);
        let mut idle = self.idle();
        // None is left when slots died and could not be replaced.
        let index = best(idle.iter().map(for_whom), wanted).ok_or(Error::Stopped)?;
        present.forget();
        Ok(Lease::new(idle.swap_remove(index), self, in_use))
    }

    /// Takes an idle slot that is to be prepared, unless somebody waits for one: whoever does is
    /// better served at once than well.
    fn due(self: &Arc<Self>) -> Option<(Class, Lease)> {
        let in_use = self.in_use.clone().try_read_owned().ok()?;
        let mut idle = self.idle();
        let index = idle.iter().position(|slot| slot.due.is_some())?;
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return None;
        }
        self.present.try_acquire().ok()?.forget();
        let mut slot = idle.swap_remove(index);
        slot.due.take().map(|class| (class, Lease::new(slot, self, in_use)))
    }

    /// Has interpreters that waited for too long ended, from now on.
    fn watch_ages(self: &Arc<Self>) {
        self.ager.get_or_init(|| {
            let (pool, pause) = (Arc::downgrade(self), self.patience / 10);
            let watch = async move {
                loop {
                    sleep(pause).await;
                    let Some(pool) = pool.upgrade() else { return };
                    while let Some((class, lease)) = pool.aged() {
                        log(lease.prepare(class.for_any_program()).await);
                    }
                }
            };
            detach(watch).abort_handle()
        });
    }

    /// Takes an idle slot whose interpreter has waited for too long.
    fn aged(self: &Arc<Self>) -> Option<(Class, Lease)> {
        let in_use = self.in_use.clone().try_read_owned().ok()?;
        let mut idle = self.idle();
        let index = idle.iter().map(for_whom).position(|prepared| {
            prepared.is_some_and(|(class, since)| {
                class.interpreter.is_some() && since.elapsed() >= self.patience
            })
        })?;
        let class = idle[index].prepared()?.class.clone();
        self.present.try_acquire().ok()?.forget();
        Some((class, Lease::new(idle.swap_remove(index), self, in_use)))
    }

    /// Prepares sandboxes for a class until `count` wait, or as many as there can be. Where all slots
    /// are in use, waits for one.
    pub(crate) async fn prewarm(
        self: &Arc<Self>,
        class: &Class,
        count: usize,
    ) -> Result<(), Error> {
        let fits = |slot: &Slot| slot.prepared().is_some_and(|it| it.class == *class);
        let ready = self.idle().iter().filter(|slot| fits(slot)).count();
        let mut tasks: Vec<_> = (ready..count).map_while(|_| self.prewarm_one(class)).collect();
        if ready + tasks.len() == 0 && count > 0 {
            let mut lease = self.take(Some(class)).await?;
            if fits(lease.slot()) {
                lease.give_back();
            } else {
                tasks.push(detach(lease.prepare(class.clone())));
            }
        }
        for task in tasks {
            task.await.map_err(|_| Error::Stopped)??;
        }
        Ok(())
    }

    /// Has one more sandbox prepared: by a slot that is idle, by a new one, or instead of another
    /// class's. Not here, where whoever waits may stop waiting. `None` when there is none of these.
    fn prewarm_one(self: &Arc<Self>, class: &Class) -> Option<JoinHandle<Result<(), Error>>> {
        let in_use = self.in_use.clone().try_read_owned().ok()?;
        let (pool, class) = (self.clone(), class.clone());
        let mut idle = self.idle();
        let others = idle.iter().map(for_whom).enumerate();
        let others = others.filter(|(_, it)| it.is_none_or(|(prepared, _)| *prepared != class));
        let other = others.min_by_key(|(_, it)| it.map(|(_, since)| since));
        let other = other.map(|(index, it)| (index, it.is_some()));
        if other.is_none_or(|(_, prepared)| prepared)
            && let Some(reserved) = self.reserve(self.spare)
        {
            return Some(detach(async move { pool.add(reserved, &class).await }));
        }
        let (index, _) = other?;
        self.present.try_acquire().ok()?.forget();
        let lease = Lease::new(idle.swap_remove(index), self, in_use);
        Some(detach(lease.prepare(class)))
    }

    /// Waits until no slot is in use, lends no more, and ends what is prepared.
    pub(crate) async fn drain(&self) {
        // All permits together mean that no supervisor is left, but maybe slots that settle.
        let _all = self.free.acquire_many((self.slots + self.spare) as u32).await;
        self.free.close();
        let _settled = self.in_use.write().await;
        let slots = std::mem::take(&mut *self.idle());
        for mut slot in slots {
            // One that cannot be emptied ends with the zygote.
            let _ = slot.discard().await;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unmade(&self) -> MutexGuard<'_, Vec<usize>> {
        self.unmade.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets others use a slot.
    fn put(&self, slot: Slot) {
        self.idle().push(slot);
        self.present.add_permits(1);
    }

    async fn new_slot(&self, index: usize) -> Result<Slot, Error> {
        let id = self.host.facts().first_uid.map_or(INSIDE_ID, |first| first + index as u32);
        Slot::new(&self.zygote, &self.groups, index, id).await
    }

    /// Sets one of the slots aside that may still be made, if so many are left for others.
    fn reserve(&self, left: usize) -> Option<Reserved> {
        let in_use = self.in_use.clone().try_read_owned().ok()?;
        let mut unmade = self.unmade();
        let index = if unmade.len() > left { unmade.pop() } else { None };
        index.map(|index| Reserved { index, _in_use: in_use })
    }

    /// Makes one more slot and prepares it.
    async fn add(&self, reserved: Reserved, class: &Class) -> Result<(), Error> {
        let prepared = match self.new_slot(reserved.index).await {
            Ok(mut slot) => slot.prepare(class).await.map(|()| slot),
            Err(error) => Err(error),
        };
        match prepared {
            Ok(slot) => self.put(slot),
            Err(error) => {
                self.unmade().push(reserved.index);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(ager) = self.ager.get() {
            ager.abort();
        }
    }
}

/// Runs to its end although nobody waits for it.
#[expect(clippy::disallowed_methods, reason = "joined by its lock on `in_use`: Pool::drain")]
fn detach<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}

/// Counts somebody who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a slot is prepared for, and since when.
fn for_whom(slot: &Slot) -> Option<(&Class, Instant)> {
    slot.prepared().map(|prepared| (&prepared.class, prepared.since))
}

/// Whether a sandbox of this class can be used: where no interpreter waits, any program can be run.
fn serves(class: &Class, wanted: Option<&Class>) -> bool {
    wanted.is_some_and(|wanted| class == wanted || *class == wanted.for_any_program())
}

/// Which of the idle slots to use: one that is prepared for what is `wanted`, else one that serves as
/// well, else one that is not prepared, else the one that was prepared for something else the longest
/// time ago.
fn best<'a>(
    idle: impl Iterator<Item = Option<(&'a Class, Instant)>>,
    wanted: Option<&Class>,
) -> Option<usize> {
    let rank = |prepared: Option<(&Class, Instant)>| match prepared {
        Some((class, since)) if Some(class) == wanted => (0, Some(since)),
        Some((class, since)) if serves(class, wanted) => (1, Some(since)),
        None => (2, None),
        Some((_, since)) => (3, Some(since)),
    };
    idle.enumerate().min_by_key(|(_, prepared)| rank(*prepared)).map(|(index, _)| index)
}

/// For who cannot do anything about it: the next start is a cold one.
fn log(prepared: Result<(), Error>) {
    if let Err(error) = prepared {
        tracing::warn!(%error, "no sandbox could be prepared");
    }
}

/// The right to make one more slot.
struct Reserved {
    index: usize,
    _in_use: OwnedRwLockReadGuard<()>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Profile;

    fn class(port: u16) -> Class {
        Class { profile: Profile::Script, ports: vec![port], interpreter: None }
    }

    #[test]
    fn the_slot_that_fits_is_chosen() {
        let (ours, other, third) = (class(1), class(2), class(3));
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let choose =
            |idle: &[Option<(&Class, Instant)>], wanted| best(idle.iter().copied(), wanted);
        let wanted = Some(&ours);
        // Prepared for it, else for nothing, else for what waits longest.
        let idle = [None, Some((&other, now)), Some((&ours, later))];
        assert_eq!(choose(&idle, wanted), Some(2));
        assert_eq!(choose(&idle[..2], wanted), Some(0));
        assert_eq!(choose(&[Some((&other, later)), Some((&third, now))], wanted), Some(1));
        assert_eq!(choose(&[], wanted), None);
        // A cold start spares what is prepared, even for the same class.
        assert_eq!(choose(&idle, None), Some(0));
    }
}
