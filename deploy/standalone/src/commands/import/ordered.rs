//! Puts results into the order of their rows.

use std::collections::BTreeMap;

/// Holds results back until all results before them have come.
pub(super) struct Ordered<T> {
    holds_back: bool,
    next: usize,
    waiting: BTreeMap<usize, Option<T>>,
}

impl<T> Ordered<T> {
    /// Creates an empty sequence. If it is not ordered, it holds nothing back.
    pub(super) fn new(holds_back: bool) -> Self {
        Self {
            holds_back,
            next: 0,
            waiting: BTreeMap::new(),
        }
    }

    /// Adds the result of a position, if there is one, and returns those that are due.
    pub(super) fn add(&mut self, position: usize, result: Option<T>) -> Vec<T> {
        if !self.holds_back {
            return result.into_iter().collect();
        }
        self.waiting.insert(position, result);
        let mut due = Vec::new();
        while let Some(result) = self.waiting.remove(&self.next) {
            due.extend(result);
            self.next += 1;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_their_positions() {
        let mut ordered = Ordered::new(true);
        assert!(ordered.add(1, Some('b')).is_empty());
        assert!(ordered.add(2, None).is_empty());
        assert_eq!(ordered.add(0, Some('a')), ['a', 'b']);
        assert_eq!(ordered.add(3, Some('d')), ['d']);
        assert_eq!(Ordered::new(false).add(7, Some('x')), ['x']);
    }
}
