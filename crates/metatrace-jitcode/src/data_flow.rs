//! Sets of small numbers, and data flow between them.

/// A set of numbers, one bit for each up to the greatest that has been in it.
#[derive(Clone, Default, Debug)]
pub struct BitSet {
    words: Vec<u64>,
}

impl BitSet {
    /// Adds a number.
    #[inline]
    pub fn insert(&mut self, number: usize) {
        if self.words.len() <= number / 64 {
            self.words.resize(number / 64 + 1, 0);
        }
        self.words[number / 64] |= 1 << (number % 64);
    }

    /// Takes a number out, if it is there.
    #[inline]
    pub fn remove(&mut self, number: usize) {
        if let Some(word) = self.words.get_mut(number / 64) {
            *word &= !(1 << (number % 64));
        }
    }

    /// Takes all numbers out.
    pub fn clear(&mut self) {
        self.words.clear();
    }

    /// Whether the number is there.
    #[inline]
    pub fn contains(&self, number: usize) -> bool {
        self.words
            .get(number / 64)
            .is_some_and(|word| word >> (number % 64) & 1 != 0)
    }

    /// Adds what is in the other set. Whether that was anything new.
    pub fn union(&mut self, other: &BitSet) -> bool {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        let mut added = 0;
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            added |= other & !*word;
            *word |= other;
        }
        added != 0
    }

    /// Takes out what is not in the other set. Whether that was anything.
    pub fn intersect(&mut self, other: &BitSet) -> bool {
        let mut removed = 0;
        let others = other.words.iter().chain(std::iter::repeat(&0));
        for (word, other) in self.words.iter_mut().zip(others) {
            removed |= *word & !other;
            *word &= other;
        }
        removed != 0
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(n, word)| {
            let rest = std::iter::successors(Some(*word), |word| Some(word & word.wrapping_sub(1)));
            rest.take_while(|word| *word != 0)
                .map(move |word| n * 64 + word.trailing_zeros() as usize)
        })
    }
}

/// Solves a backward data flow: the least sets such that each block's own has all that `before` finds in it.
/// `before(block, sets, set)` makes `set`, whatever it was, what holds at the block's start, where `sets` hold at the others'.
/// `edges` are from block to block.
///
/// A block is looked at again where the set of one that it leads to has grown.
pub fn backward(
    blocks: usize,
    mut edges: Vec<(usize, usize)>,
    mut before: impl FnMut(usize, &[BitSet], &mut BitSet),
) -> Vec<BitSet> {
    edges.sort_unstable_by_key(|(_, to)| *to);
    let mut sets = vec![BitSet::default(); blocks];
    let mut set = BitSet::default();
    let mut pending = vec![true; blocks];
    while pending.contains(&true) {
        for block in (0..blocks).rev() {
            if !std::mem::take(&mut pending[block]) {
                continue;
            }
            before(block, &sets, &mut set);
            if sets[block].union(&set) {
                let first = edges.partition_point(|(_, to)| *to < block);
                let entering = edges[first..].iter().take_while(|(_, to)| *to == block);
                entering.for_each(|(from, _)| pending[*from] = true);
            }
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: &[usize]) -> BitSet {
        let mut set = BitSet::default();
        numbers.iter().for_each(|number| set.insert(*number));
        set
    }

    fn check(set: &BitSet, numbers: &[usize]) {
        assert_eq!(set.iter().collect::<Vec<_>>(), numbers);
        assert!((0..300).all(|number| set.contains(number) == numbers.contains(&number)));
    }

    #[test]
    fn numbers_come_and_go() {
        let mut some = set(&[200, 0, 63, 64]);
        check(&some, &[0, 63, 64, 200]);
        some.remove(63);
        some.remove(1000);
        check(&some, &[0, 64, 200]);
        some.clear();
        check(&some, &[]);
    }

    #[test]
    fn sets_of_different_lengths() {
        let (short, long) = (set(&[1, 2]), set(&[2, 3, 130]));
        let mut union = short.clone();
        assert!(union.union(&long));
        check(&union, &[1, 2, 3, 130]);
        assert!(!union.union(&short) && !union.union(&long));
        let mut common = long.clone();
        assert!(common.intersect(&short));
        check(&common, &[2]);
        let mut common = short.clone();
        assert!(common.intersect(&long));
        check(&common, &[2]);
        assert!(!common.intersect(&long) && !common.intersect(&union));
    }

    /// 0 ─▶ 1 ◀─▶ 2, 1 ─▶ 3: what 3 reads is live in the whole loop, what 2 writes is not live before it.
    #[test]
    fn liveness_of_a_loop() {
        let targets: [&[usize]; 4] = [&[1], &[2, 3], &[1], &[]];
        let (writes, reads) = ([10, 99, 11, 99], [12, 11, 10, 130]);
        let sets = backward(4, vec![(0, 1), (1, 2), (1, 3), (2, 1)], |block, sets, set| {
            set.clear();
            for target in targets[block] {
                set.union(&sets[*target]);
            }
            set.remove(writes[block]);
            set.insert(reads[block]);
        });
        check(&sets[3], &[130]);
        check(&sets[2], &[10, 130]);
        check(&sets[1], &[10, 11, 130]);
        check(&sets[0], &[11, 12, 130]);
    }
}
