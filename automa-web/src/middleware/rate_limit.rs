//! A bound for how often somebody asks: by the class of what they ask for, and by who they are.
//!
//! Who has proven to be a user is that user, whatever address they have; everybody else is their address,
//! of IPv6 its network. Signing in is counted by address alone. Files of pages, streams and health are not
//! counted.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    str::FromStr,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use automa_core::id::UserId;
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    error::ResponseError as _,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
};

use crate::{auth::Caller, client_address::client_address, pages, problem::Problem};

/// Most users and addresses that are told apart in one class; others are counted as one.
const MOST: usize = 100_000;
/// After how many requests it is looked how many there are.
const LOOK: u32 = 1024;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Calls of the API, and of webhooks.
    General,
    /// Pages, and what their scripts ask for.
    Pages,
    /// Passwords and other proofs.
    SignIn,
    /// New scripts.
    Scripts,
    /// Files that are sent.
    Uploads,
}

impl Class {
    const ALL: [Self; 5] = [Self::General, Self::Pages, Self::SignIn, Self::Scripts, Self::Uploads];

    fn name(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Pages => "pages",
            Self::SignIn => "sign_in",
            Self::Scripts => "scripts",
            Self::Uploads => "uploads",
        }
    }

    /// How often it may be asked for in a minute, unless told.
    fn usual(self) -> u32 {
        match self {
            Self::General => 60,
            Self::Pages => 600,
            Self::SignIn | Self::Uploads => 5,
            Self::Scripts => 10,
        }
    }

    /// What a request asks for; `None` for what is not counted.
    fn of(request: &Request) -> Option<Self> {
        let path = request.uri().path();
        let writes = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
        let rest = path.strip_prefix("/api/v1");
        let is = |paths: &[&str]| paths.contains(&rest.unwrap_or(path));
        let streams = path.ends_with("/events") || path.ends_with("/stream");
        let is_asset = path.starts_with("/static/");
        if is_asset || is(&["/health", "/liveness", "/readiness", "/metrics"]) {
            None
        } else if writes && is(&["/auth/login", "/auth/setup", "/sign-in", "/setup", "/reset"]) {
            Some(Self::SignIn)
        } else if writes && path.ends_with("/upload") {
            Some(Self::Uploads)
        } else if writes && (is(&["/scripts", "/scripts/new"]) || path.ends_with("/fork")) {
            Some(Self::Scripts)
        } else if !writes && (streams || path.starts_with("/api/v1/ws/")) {
            None
        } else if path.starts_with("/api/") && !is_of_page(request) || path.starts_with("/hooks/") {
            Some(Self::General)
        } else {
            Some(Self::Pages)
        }
    }
}

/// Whether a call of the API comes from a page: by its cookie, and not by what programs send.
fn is_of_page(request: &Request) -> bool {
    let headers = request.headers();
    let by_header = headers.contains_key(header::AUTHORIZATION) || headers.contains_key(X_API_KEY);
    !by_header && headers.contains_key(header::COOKIE)
}

/// How often something may be asked for: a number of times in a period; `None` for any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate(Option<(NonZeroU32, Duration)>);

/// What is told of rates: `off`, or `general=60/1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Nothing is counted.
    Off,
    /// Of one class.
    Of(Class, Rate),
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "off" {
            return Ok(Self::Off);
        }
        let names = || Class::ALL.map(Class::name).join(", ");
        let wrong = || format!("must be `off`, or like `general=60/1m`, of one of {}", names());
        let (class, rate) = text.split_once('=').ok_or_else(wrong)?;
        let class = Class::ALL.into_iter().find(|it| it.name() == class).ok_or_else(wrong)?;
        if rate == "off" {
            return Ok(Self::Of(class, Rate(None)));
        }
        let (times, period) = rate.split_once('/').ok_or_else(wrong)?;
        let times = times.parse::<NonZeroU32>().map_err(|_| wrong())?;
        let period = match period {
            "second" => Duration::from_secs(1),
            "minute" => Duration::from_mins(1),
            "hour" => Duration::from_hours(1),
            period => humantime::parse_duration(period).map_err(|_| wrong())?,
        };
        if !(Duration::from_secs(1)..=Duration::from_hours(24)).contains(&period) {
            return Err("a period is a second to a day".to_owned());
        }
        Ok(Self::Of(class, Rate(Some((times, period)))))
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    User(UserId),
    Address(IpAddr),
    /// Everybody who cannot be told apart.
    Others,
}

/// Of one class, what each has asked for of late.
struct Limiter {
    times: NonZeroU32,
    period: Duration,
    recent: RateLimiter<Who, DashMapStateStore<Who>, DefaultClock, StateInformationMiddleware>,
    requests: AtomicU32,
    crowded: AtomicBool,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    limit: u32,
    period: Duration,
    remaining: u32,
    /// Seconds until all of it is there again.
    reset: u64,
    /// Seconds until one is, if there is none.
    wait: Option<u64>,
}

impl Limiter {
    fn new(times: NonZeroU32, period: Duration) -> Option<Self> {
        let quota = Quota::with_period(period / times.get())?.allow_burst(times);
        let recent = RateLimiter::dashmap(quota).with_middleware();
        let (requests, crowded) = (AtomicU32::new(0), AtomicBool::new(false));
        Some(Self { times, period, recent, requests, crowded })
    }

    fn count(&self, who: Who) -> Counted {
        if self.requests.fetch_add(1, Ordering::Relaxed) % LOOK == LOOK - 1 {
            self.recent.retain_recent();
            self.crowded.store(self.recent.len() > MOST, Ordering::Relaxed);
        }
        let who = if self.crowded.load(Ordering::Relaxed) { Who::Others } else { who };
        let limit = self.times.get();
        let (remaining, wait) = match self.recent.check_key(&who) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(until) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                (0, Some(seconds(wait)))
            }
        };
        let reset = seconds(self.period * (limit - remaining.min(limit)) / limit);
        Counted { limit, period: self.period, remaining, reset, wait }
    }
}

/// Whole seconds, and a part of one as one.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// The limits of all classes.
pub(crate) struct RateLimits([Option<Limiter>; Class::ALL.len()]);

impl fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |(class, limiter): (Class, &Option<Limiter>)| {
            let rate = limiter.as_ref().map(|it| (it.times, it.period));
            (class.name(), rate)
        };
        f.debug_map().entries(Class::ALL.into_iter().zip(&self.0).map(of)).finish()
    }
}

impl RateLimits {
    /// What is told over what is usual; of several for one class the last.
    pub(crate) fn new(settings: &[Setting]) -> Self {
        let rate = |class: Class| {
            let told = settings.iter().rev().find_map(|setting| match setting {
                Setting::Off => Some(Rate(None)),
                Setting::Of(of, rate) => (*of == class).then_some(*rate),
            });
            let usual = NonZeroU32::new(class.usual()).map(|times| (times, Duration::from_mins(1)));
            told.unwrap_or(Rate(usual)).0
        };
        Self(
            Class::ALL
                .map(|class| rate(class).and_then(|(times, period)| Limiter::new(times, period))),
        )
    }

    /// Counts a request of a class, if these are.
    fn count(&self, class: Class, who: impl FnOnce() -> Who) -> Option<Counted> {
        let place = Class::ALL.iter().position(|it| *it == class)?;
        let limiter = self.0.get(place)?.as_ref()?;
        Some(limiter.count(who()))
    }
}

/// Refuses what is asked for too often, and tells how often it may be.
pub(crate) async fn rate_limit<E: Endpoint>(
    limits: &RateLimits,
    next: &E,
    request: Request,
) -> Result<Response> {
    let counted =
        Class::of(&request).and_then(|class| limits.count(class, || who(&request, class)));
    let Some(counted) = counted else {
        return next.call(request).await.map(IntoResponse::into_response);
    };
    let mut response = if let Some(wait) = counted.wait {
        let Counted { limit, period, .. } = counted;
        let detail = format!(
            "this may be asked for {limit} times in {}; try again in {wait} s",
            humantime::format_duration(period)
        );
        let problem =
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests")
                .detail(&detail)
                .retry_after(wait);
        pages::refuse(&request, &problem)
    } else {
        // An error, too, tells what is left.
        match next.call(request).await {
            Ok(response) => response.into_response(),
            Err(error) => Problem::from(error).as_response(),
        }
    };
    let headers = response.headers_mut();
    let number = |number: u64| HeaderValue::from(number);
    headers.insert(LIMIT, number(counted.limit.into()));
    headers.insert(REMAINING, number(counted.remaining.into()));
    headers.insert(RESET, number(counted.wait.unwrap_or(counted.reset)));
    let policy = format!("{};w={}", counted.limit, counted.period.as_secs());
    headers.extend(HeaderValue::from_str(&policy).ok().map(|policy| (POLICY, policy)));
    Ok(response)
}

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Who asks, as far as that is proven.
fn who(request: &Request, class: Class) -> Who {
    let user = if class == Class::SignIn { None } else { Caller::known_to(request) };
    let address = || match client_address(request)? {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            Some(IpAddr::V6(Ipv6Addr::from(network)))
        }
        address @ IpAddr::V4(_) => Some(address),
    };
    user.map(Who::User).or_else(|| address().map(Who::Address)).unwrap_or(Who::Others)
}

#[cfg(test)]
mod tests {
    use poem::Request;

    use super::*;

    fn class(method: Method, path: &str, headers: &[(&str, &str)]) -> Option<Class> {
        let request = Request::builder().method(method).uri(path.parse().unwrap());
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Class::of(&request.finish())
    }

    #[test]
    fn each_request_is_of_one_class() {
        let (bearer, cookie) = ([("authorization", "Bearer x")], [("cookie", "automa_access=x")]);
        for (method, path, headers, expected) in [
            (Method::GET, "/api/v1/scripts", &bearer[..], Some(Class::General)),
            (Method::GET, "/api/v1/scripts", &[][..], Some(Class::General)),
            (Method::GET, "/api/v1/scripts", &cookie[..], Some(Class::Pages)),
            (Method::POST, "/api/v1/executions", &bearer, Some(Class::General)),
            (Method::POST, "/hooks/x", &[], Some(Class::General)),
            (Method::GET, "/scripts", &cookie, Some(Class::Pages)),
            (Method::POST, "/api/v1/scripts", &bearer, Some(Class::Scripts)),
            (Method::POST, "/scripts/new", &cookie, Some(Class::Scripts)),
            (Method::POST, "/api/v1/scripts/x/fork", &bearer, Some(Class::Scripts)),
            (Method::POST, "/api/v1/scripts/upload", &bearer, Some(Class::Uploads)),
            (Method::POST, "/scripts/x/upload", &cookie, Some(Class::Uploads)),
            (Method::POST, "/api/v1/auth/login", &[], Some(Class::SignIn)),
            (Method::POST, "/sign-in", &[], Some(Class::SignIn)),
            (Method::GET, "/sign-in", &[], Some(Class::Pages)),
            (Method::POST, "/api/v1/auth/refresh", &[], Some(Class::General)),
            (Method::GET, "/static/app.css", &[], None),
            (Method::GET, "/health", &[], None),
            (Method::GET, "/executions/x/events", &cookie, None),
            (Method::GET, "/api/v1/executions/x/log/stream", &bearer, None),
            (Method::POST, "/executions/x/events", &cookie, Some(Class::Pages)),
            (Method::GET, "/api/v1/ws/executions/x", &bearer, None),
        ] {
            assert_eq!(class(method.clone(), path, headers), expected, "{method} {path}");
        }
    }

    #[test]
    fn settings_are_read_or_refused() {
        let rate = |times, seconds| {
            Rate(Some((NonZeroU32::new(times).unwrap(), Duration::from_secs(seconds))))
        };
        for (text, setting) in [
            ("off", Setting::Off),
            ("general=90/1m", Setting::Of(Class::General, rate(90, 60))),
            ("sign_in=1/hour", Setting::Of(Class::SignIn, rate(1, 3600))),
            ("uploads=7/30s", Setting::Of(Class::Uploads, rate(7, 30))),
            ("pages=off", Setting::Of(Class::Pages, Rate(None))),
        ] {
            assert_eq!(text.parse(), Ok(setting));
        }
        for text in ["", "on", "general", "general=0/1m", "all=1/1m", "pages=1/0s", "pages=1/2d"] {
            assert!(text.parse::<Setting>().is_err(), "{text}");
        }
    }

    #[test]
    fn who_asks_too_often_has_to_wait_and_others_do_not() {
        let settings = ["sign_in=2/hour", "pages=off"].map(|it| it.parse().unwrap());
        let limits = RateLimits::new(&settings);
        let address = |last| Who::Address(IpAddr::from([192, 0, 2, last]));
        let count = |class, last| limits.count(class, || address(last));
        let left = |class, last| count(class, last).map(|it| (it.remaining, it.wait.is_some()));
        assert_eq!(left(Class::SignIn, 1), Some((1, false)));
        assert_eq!(left(Class::SignIn, 1), Some((0, false)));
        assert_eq!(left(Class::SignIn, 1), Some((0, true)));
        assert_eq!(left(Class::SignIn, 2), Some((1, false)));
        assert_eq!(left(Class::General, 1), Some((59, false)), "the usual");
        assert_eq!(left(Class::Pages, 1), None);
        let off = RateLimits::new(&["general=1/1m", "off"].map(|it| it.parse().unwrap()));
        assert_eq!(off.count(Class::General, || address(1)), None);
    }
}
