//! Unwrapped keys, for a minute at the most.
//!
//! Two generations: what is asked for lies in the young one or the old one, and every half minute, or when it is
//! full, the young one becomes the old one and the old one goes. So the size is bounded, nothing is older than a
//! minute, and forgetting costs nothing. A key that was shredded by another process is usable here for as long.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// Half of what a key may live after it was last read from the database.
pub(crate) const GENERATION: SignedDuration = SignedDuration::from_secs(30);

pub(crate) struct Cache<K, V> {
    /// Of one generation.
    capacity: usize,
    generations: Mutex<Generations<K, V>>,
}

struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    young_since: Timestamp,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            generations: Mutex::new(Generations {
                young: HashMap::new(),
                old: HashMap::new(),
                young_since: Timestamp::MIN,
            }),
        }
    }

    pub(crate) fn get(&self, key: &K, now: Timestamp) -> Option<V> {
        self.with(now, |generations| {
            generations.young.get(key).or_else(|| generations.old.get(key)).cloned()
        })
    }

    pub(crate) fn put(&self, entries: impl IntoIterator<Item = (K, V)>, now: Timestamp) {
        self.with(now, |generations| {
            for (key, value) in entries {
                if generations.young.len() >= self.capacity {
                    generations.age(now);
                }
                generations.young.insert(key, value);
            }
        });
    }

    pub(crate) fn forget<'k>(&self, keys: impl IntoIterator<Item = &'k K>, now: Timestamp)
    where
        K: 'k,
    {
        self.with(now, |generations| {
            for key in keys {
                generations.young.remove(key);
                generations.old.remove(key);
            }
        });
    }

    /// Lets go of what is too old.
    pub(crate) fn tidy(&self, now: Timestamp) {
        self.with(now, |_| ());
    }

    fn with<T>(&self, now: Timestamp, work: impl FnOnce(&mut Generations<K, V>) -> T) -> T {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.age_by_time(now);
        work(&mut generations)
    }
}

impl<K, V> Generations<K, V> {
    fn age_by_time(&mut self, now: Timestamp) {
        let age = now.duration_since(self.young_since);
        if age.is_negative() || age >= GENERATION * 2 {
            // Both are too old; or the clock went back, and nothing is known about ages.
            self.age(now);
            self.age(now);
        } else if age >= GENERATION {
            // As if it had happened in time, or else the old one would live for too long.
            self.age(self.young_since + GENERATION);
        }
    }

    fn age(&mut self, since: Timestamp) {
        self.old = std::mem::take(&mut self.young);
        self.young_since = since;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn nothing_lives_longer_than_a_minute() {
        for looks in [&[][..], &[29, 31, 59], &[45], &[30, 59]] {
            for put in [0, 1, 29] {
                let cache = Cache::new(9);
                cache.put([(0, 0)], at(0));
                cache.put([(7, 'a')].map(|(key, value)| (key, value as i32)), at(put));
                for look in looks.iter().filter(|look| **look > put) {
                    assert!(cache.get(&7, at(*look)).is_some(), "{look}");
                }
                assert_eq!(cache.get(&7, at(put + 60)), None, "put at {put}, looked at {looks:?}");
            }
        }
    }

    #[test]
    fn it_is_bounded_and_forgets() {
        let cache = Cache::new(2);
        for key in 0..100 {
            cache.put([(key, key)], at(0));
        }
        let kept = (0..100).filter(|key| cache.get(key, at(1)).is_some()).count();
        assert!((1..=4).contains(&kept), "{kept}");
        assert_eq!(cache.get(&99, at(1)), Some(99));
        cache.forget(&[99], at(1));
        assert_eq!(cache.get(&99, at(1)), None);
    }

    #[test]
    fn a_clock_that_went_back_empties_it() {
        let cache = Cache::new(2);
        cache.put([(1, 1)], at(100));
        assert_eq!(cache.get(&1, at(99)), None);
    }
}
