//! Places for questions: how many are embedded and searched at once, and how many may wait.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// Questions that are embedded and searched at once: more would only share the same cores.
const AT_ONCE: usize = 4;
/// Questions that may wait beside those; at a few tens of milliseconds each, the last waits for seconds.
const WAITING: usize = 256;

/// Hands out places.
#[derive(Clone)]
pub struct Asking {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// A place in the queue.
pub struct Place {
    _place: OwnedSemaphorePermit,
    turns: Arc<Semaphore>,
}

/// Leave to compute; given back when it is dropped.
pub struct Turn {
    _place: Place,
    _turn: OwnedSemaphorePermit,
}

impl Default for Asking {
    fn default() -> Self {
        Self::new(AT_ONCE, WAITING)
    }
}

impl Asking {
    fn new(at_once: usize, waiting: usize) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { places: semaphore(at_once + waiting), turns: semaphore(at_once) }
    }

    /// A place in the queue, before anything is computed or stored.
    ///
    /// # Errors
    /// If all are taken.
    pub fn place(&self) -> Result<Place, ApiError> {
        match self.places.clone().try_acquire_owned() {
            Ok(place) => Ok(Place { _place: place, turns: self.turns.clone() }),
            Err(_) => Err(ApiError::overloaded("too many questions wait; try again in a moment")),
        }
    }
}

impl Place {
    /// Waits until it may compute.
    ///
    /// # Errors
    /// If the server is stopping.
    pub async fn turn(self) -> Result<Turn, ApiError> {
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| ApiError::unavailable("the server is stopping"))?;
        Ok(Turn { _place: self, _turn: turn })
    }
}

#[cfg(test)]
mod tests {
    use super::Asking;

    #[tokio::test]
    async fn only_so_many_may_wait() {
        let asking = Asking::new(1, 1);
        let turn = asking.place().unwrap().turn().await.unwrap();
        let waiting = asking.place().unwrap();
        assert_eq!(asking.place().err().unwrap().status(), 429);
        drop(turn);
        assert!(asking.place().is_ok());
        drop(waiting.turn().await.unwrap());
    }
}
