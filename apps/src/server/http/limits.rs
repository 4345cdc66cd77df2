//! Requests and tokens that a caller may use in a minute.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::auth::Caller;
use crate::error::ApiError;

/// Callers and addresses that are remembered. Beyond it those that have used nothing lately are forgotten.
const REMEMBERED: usize = 10_000;

/// Counts what callers use. The clock is a parameter for the tests.
#[derive(Clone)]
pub struct RateLimits<C: Clock + Clone = DefaultClock>(Arc<Inner<C>>);

struct Inner<C: Clock + Clone> {
    clock: C,
    per_address: Option<u32>,
    buckets: Mutex<HashMap<User, Buckets<C>>>,
}

/// Whose use is counted.
#[derive(Clone, PartialEq, Eq, Hash)]
enum User {
    Key(String),
    Address(IpAddr),
}

/// Requests and tokens of a minute, where they are limited.
type Limits = (Option<u32>, Option<u32>);

/// What one user has left.
struct Buckets<C: Clock + Clone> {
    limits: Limits,
    requests: Option<Bucket<C>>,
    tokens: Option<Bucket<C>>,
    /// Tokens of past answers that have not been taken from the bucket yet, because it was empty.
    owed: u64,
}

type Limiter<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

struct Bucket<C: Clock + Clone> {
    size: NonZeroU32,
    limiter: Limiter<C>,
}

impl<C: Clock + Clone> Bucket<C> {
    fn new(per_minute: u32, clock: &C) -> Option<Self> {
        let size = NonZeroU32::new(per_minute)?;
        Some(Self { size, limiter: RateLimiter::direct_with_clock(Quota::per_minute(size), clock.clone()) })
    }

    /// Takes `count`, at most the bucket's size, or says how long until that many are there.
    fn take(&self, count: NonZeroU32, clock: &C) -> Result<(), Duration> {
        match self.limiter.check_n(count.min(self.size)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(until.wait_time_from(clock.now())),
            Err(_) => Err(Duration::from_secs(60)), // more than the bucket's size, which `min` rules out
        }
    }
}

impl RateLimits {
    /// Limits of each caller, as its key says, and of each address of callers without a key, if one is given.
    pub fn new(requests_per_address: Option<u32>) -> Self {
        Self::with_clock(requests_per_address, DefaultClock::default())
    }
}

impl<C: Clock + Clone> RateLimits<C> {
    /// The same with another clock.
    pub fn with_clock(requests_per_address: Option<u32>, clock: C) -> Self {
        let buckets = Mutex::default();
        Self(Arc::new(Inner { clock, per_address: requests_per_address, buckets }))
    }

    /// Counts one request.
    ///
    /// # Errors
    /// 429 if the caller has had its requests of this minute, or its answers so far took more tokens than it has.
    pub fn admit(&self, caller: &Caller, peer: Option<IpAddr>) -> Result<(), ApiError> {
        let Some((user, limits)) = self.user(caller, peer) else { return Ok(()) };
        self.with_buckets(user, limits, |buckets, clock| {
            if let Some(tokens) = &buckets.tokens {
                while let Some(count) = NonZeroU32::new(buckets.owed.min(tokens.size.get().into()) as u32) {
                    tokens.take(count, clock).map_err(|wait| refused("tokens", tokens.size, wait))?;
                    buckets.owed -= u64::from(count.get());
                }
            }
            match &buckets.requests {
                Some(requests) => requests
                    .take(NonZeroU32::MIN, clock)
                    .map_err(|wait| refused("requests", requests.size, wait)),
                None => Ok(()),
            }
        })
    }

    /// Counts the tokens of an answer, prompt included, when they are known. They are taken before the caller's
    /// next request is admitted, so that one long answer is never cut but is paid for.
    pub fn charge(&self, caller: &Caller, tokens: u64) {
        if let Some((user, limits)) = self.user(caller, None)
            && limits.1.is_some()
        {
            self.with_buckets(user, limits, |buckets, _| buckets.owed = buckets.owed.saturating_add(tokens));
        }
    }

    /// Who is limited, and to what.
    fn user(&self, caller: &Caller, peer: Option<IpAddr>) -> Option<(User, Limits)> {
        let limits = (caller.requests_per_minute, caller.tokens_per_minute);
        if limits != (None, None) {
            return Some((User::Key(caller.id.clone()), limits));
        }
        match (self.0.per_address, peer) {
            (Some(limit), Some(peer)) if caller.id == Caller::local().id => {
                Some((User::Address(network(peer)), (Some(limit), None)))
            }
            _ => None,
        }
    }

    fn with_buckets<T>(&self, user: User, limits: Limits, work: impl FnOnce(&mut Buckets<C>, &C) -> T) -> T {
        let clock = &self.0.clock;
        let new = |owed| Buckets {
            limits,
            requests: limits.0.and_then(|limit| Bucket::new(limit, clock)),
            tokens: limits.1.and_then(|limit| Bucket::new(limit, clock)),
            owed,
        };
        let mut all = self.0.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED && !all.contains_key(&user) {
            forget_unused(&mut all, clock);
        }
        let buckets = all.entry(user).or_insert_with(|| new(0));
        if buckets.limits != limits {
            *buckets = new(buckets.owed); // the key was changed
        }
        work(buckets, clock)
    }
}

/// Forgets users with full buckets, which is what one that is not known has. If all are in use, all are forgotten:
/// memory counts more than a burst.
fn forget_unused<C: Clock + Clone>(all: &mut HashMap<User, Buckets<C>>, clock: &C) {
    let in_use = |bucket: &Option<Bucket<C>>| {
        bucket.as_ref().is_some_and(|bucket| bucket.take(bucket.size, clock).is_err())
    };
    all.retain(|_, buckets| buckets.owed > 0 || in_use(&buckets.requests) || in_use(&buckets.tokens));
    if all.len() >= REMEMBERED {
        all.clear();
    }
}

/// The address, or for IPv6 the network of one customer, who has all addresses in it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

fn refused(what: &str, per_minute: NonZeroU32, wait: Duration) -> ApiError {
    ApiError::rate_limited(format!("the key's limit of {per_minute} {what} per minute is used up"), wait)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use axum::response::IntoResponse;
    use governor::clock::FakeRelativeClock;

    use super::super::auth::Caller;
    use super::{REMEMBERED, RateLimits};
    use crate::error::ApiError;

    fn caller(id: &str, requests: Option<u32>, tokens: Option<u32>) -> Caller {
        Caller { id: id.into(), requests_per_minute: requests, tokens_per_minute: tokens, ..Caller::local() }
    }

    fn wait(refused: Result<(), ApiError>) -> u64 {
        let response = refused.unwrap_err().into_response();
        assert_eq!(response.status(), 429);
        response.headers()["retry-after"].to_str().unwrap().parse().unwrap()
    }

    #[test]
    fn a_caller_gets_its_requests_of_a_minute_and_is_told_when_the_next_one_is_there() {
        let clock = FakeRelativeClock::default();
        let limits = RateLimits::with_clock(None, clock.clone());
        let (shop, other) = (caller("shop", Some(3), None), caller("other", Some(3), None));
        for _ in 0..3 {
            limits.admit(&shop, None).unwrap();
        }
        assert_eq!(wait(limits.admit(&shop, None)), 20);
        limits.admit(&other, None).unwrap();
        clock.advance(Duration::from_secs(20));
        limits.admit(&shop, None).unwrap();
        assert_eq!(wait(limits.admit(&shop, None)), 20);
        // A key whose limit is raised has the new one at once.
        limits.admit(&caller("shop", Some(60), None), None).unwrap();
    }

    #[test]
    fn tokens_are_paid_for_before_the_next_request() {
        let clock = FakeRelativeClock::default();
        let limits = RateLimits::with_clock(None, clock.clone());
        let shop = caller("shop", None, Some(600)); // ten a second
        limits.admit(&shop, None).unwrap();
        limits.charge(&shop, 500);
        limits.admit(&shop, None).unwrap();
        limits.charge(&shop, 1500); // 100 are left: 1,400 more are due, of which 600 fit the bucket
        let mut waited = 0;
        while let Err(error) = limits.admit(&shop, None) {
            let seconds = wait(Err(error));
            waited += seconds;
            clock.advance(Duration::from_secs(seconds));
        }
        assert!((140..=142).contains(&waited), "{waited} s for 1,400 tokens at ten a second");
    }

    #[test]
    fn addresses_are_limited_only_where_that_was_asked_for() {
        let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let limits = RateLimits::new(None);
        for _ in 0..100 {
            limits.admit(&Caller::local(), ip("127.0.0.1")).unwrap();
        }
        let limits = RateLimits::new(Some(1));
        limits.admit(&Caller::local(), ip("2001:db8::1")).unwrap();
        // The same customer's other address, and another customer.
        limits.admit(&Caller::local(), ip("2001:db8::2")).unwrap_err();
        limits.admit(&Caller::local(), ip("2001:db8:0:1::1")).unwrap();
    }

    #[test]
    fn memory_stays_bounded_whatever_addresses_come() {
        let limits = RateLimits::with_clock(Some(1), FakeRelativeClock::default());
        for number in 0..(3 * REMEMBERED as u32) {
            limits.admit(&Caller::local(), Some(IpAddr::V4(number.into()))).unwrap();
        }
        assert!(limits.0.buckets.lock().unwrap().len() <= REMEMBERED);
    }
}
