//! The operands of an operation.
//!
//! There are as many lists of them as operations, and each is copied several times on its way through the optimiser; nearly all
//! have three entries at most. So these are kept in place, and copied as a whole.

use crate::value::Ref;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// So many operands are kept in place.
const FEW: usize = 4;

/// The operands of an operation: a list of values.
pub struct Args(List);

enum List {
    /// What stands behind the length means nothing.
    Few {
        len: u8,
        refs: [Ref; FEW],
    },
    Many(Box<[Ref]>),
}

impl Args {
    /// A copy of these.
    #[inline]
    pub fn new(args: &[Ref]) -> Args {
        if args.len() > FEW {
            return Args(List::Many(args.into()));
        }
        let mut refs = [Ref::value(0); FEW];
        for (to, from) in refs.iter_mut().zip(args) {
            *to = *from;
        }
        Args(List::Few {
            len: args.len() as u8,
            refs,
        })
    }
}

impl Clone for Args {
    #[inline]
    fn clone(&self) -> Args {
        Args(match &self.0 {
            List::Few { len, refs } => List::Few { len: *len, refs: *refs },
            List::Many(refs) => List::Many(refs.clone()),
        })
    }
}

impl Default for Args {
    fn default() -> Args {
        Args::new(&[])
    }
}

impl Deref for Args {
    type Target = [Ref];

    #[inline]
    fn deref(&self) -> &[Ref] {
        match &self.0 {
            // it is never more, but so that this cannot fail
            List::Few { len, refs } => &refs[..usize::from(*len).min(FEW)],
            List::Many(refs) => refs,
        }
    }
}

impl DerefMut for Args {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Ref] {
        match &mut self.0 {
            List::Few { len, refs } => &mut refs[..usize::from(*len).min(FEW)],
            List::Many(refs) => refs,
        }
    }
}

impl FromIterator<Ref> for Args {
    #[inline]
    fn from_iter<I: IntoIterator<Item = Ref>>(args: I) -> Args {
        let (mut refs, mut len) = ([Ref::value(0); FEW], 0);
        let mut args = args.into_iter();
        for arg in &mut args {
            if len == FEW {
                let few = refs.into_iter().chain([arg]);
                return Args(List::Many(few.chain(args).collect()));
            }
            refs[len] = arg;
            len += 1;
        }
        Args(List::Few { len: len as u8, refs })
    }
}

impl<'a> IntoIterator for &'a Args {
    type Item = &'a Ref;
    type IntoIter = std::slice::Iter<'a, Ref>;

    #[inline]
    fn into_iter(self) -> std::slice::Iter<'a, Ref> {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Args {
    type Item = &'a mut Ref;
    type IntoIter = std::slice::IterMut<'a, Ref>;

    #[inline]
    fn into_iter(self) -> std::slice::IterMut<'a, Ref> {
        self.iter_mut()
    }
}

impl PartialEq for Args {
    fn eq(&self, other: &Args) -> bool {
        **self == **other
    }
}

impl Eq for Args {}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_all_lengths_are_what_they_were_made_of() {
        for len in 0..8 {
            let values: Vec<Ref> = (0..len).map(|n| Ref::value(n * 7)).collect();
            let copied = Args::new(&values);
            let collected: Args = values.iter().copied().collect();
            assert_eq!((&copied[..], &collected[..]), (&values[..], &values[..]));
            assert_eq!(copied.clone(), collected);
            let mut changed = copied.clone();
            for arg in &mut changed {
                *arg = Ref::constant(3);
            }
            assert_eq!(changed[..], vec![Ref::constant(3); len]);
            assert_eq!(changed == copied, len == 0);
        }
    }
}
