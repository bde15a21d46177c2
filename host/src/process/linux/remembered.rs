//! What was found out of processes once, kept for as long as they live.

use std::collections::HashMap;

use crate::health::signals::ProcessId;

/// So many are kept without a look at who still lives.
const FEW: usize = 1024;

/// Forgets the dead each time that it has doubled: with many living processes an insertion still costs a constant.
pub struct Remembered<T> {
    of: HashMap<ProcessId, T>,
    sweep_at: usize,
}

impl<T> Default for Remembered<T> {
    fn default() -> Remembered<T> {
        Remembered { of: HashMap::new(), sweep_at: FEW }
    }
}

impl<T> Remembered<T> {
    pub fn get(&self, id: &ProcessId) -> Option<&T> {
        self.of.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ProcessId, &T)> {
        self.of.iter()
    }

    pub fn insert(&mut self, id: ProcessId, value: T) {
        self.insert_while(id, value, crate::process::is_alive);
    }

    fn insert_while(&mut self, id: ProcessId, value: T, lives: impl Fn(ProcessId) -> bool) {
        if self.of.len() >= self.sweep_at {
            self.of.retain(|id, _| lives(*id));
            self.sweep_at = (2 * self.of.len()).max(FEW);
        }
        self.of.insert(id, value);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn id(pid: usize) -> ProcessId {
        ProcessId { pid: pid as u32, start: 1 }
    }

    #[test]
    fn the_dead_are_forgotten_and_the_living_kept() {
        let mut remembered = Remembered::default();
        for pid in 0..10 * FEW {
            remembered.insert_while(id(pid), pid, |id| id.pid < 10);
        }
        assert!(remembered.of.len() <= FEW, "{}", remembered.of.len());
        assert!((0..10).all(|pid| remembered.get(&id(pid)) == Some(&pid)));
    }

    #[test]
    fn many_living_processes_are_kept_without_asking_for_each_at_every_insertion() {
        let mut remembered = Remembered::default();
        let asked = Cell::new(0);
        for pid in 0..10 * FEW {
            remembered.insert_while(id(pid), (), |_| {
                asked.set(asked.get() + 1);
                true
            });
        }
        assert_eq!(remembered.of.len(), 10 * FEW);
        assert!(asked.get() < 20 * FEW, "{}", asked.get());
    }
}
