//! Every rule of the table, against [`eval`] on boundary and random values: `eval` itself and conditions as the
//! optimiser has them, where proofs have circuits.

use super::*;
use crate::bits::Bits;
use crate::range::Range;
use metatrace_ir::Class;
use metatrace_ir::eval::overflows;
use metatrace_ir::op::Operands;
use metatrace_ir::random::Random;
use smallvec::SmallVec;

/// Words for the variables.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Assignment {
    pub(super) values: [u64; 2],
    pub(super) constants: [u64; 2],
}

/// The kinds of the operands of what has a pattern.
fn operand_kinds(opcode: Opcode) -> [Kind; 2] {
    match opcode.info().operands {
        Operands::Fixed(kinds) => [0, 1].map(|n| kinds.get(n).copied().unwrap_or(Kind::Int)),
        _ => [Kind::Int; 2],
    }
}

fn assign(patterns: &[Pattern], kinds: [Kind; 2], random: &mut Random, into: &mut Assignment) {
    for (pattern, kind) in patterns.iter().zip(kinds) {
        let word = match kind {
            Kind::Float => random.interesting_float(),
            _ if random.one_in(4) => random.below(5) as u64,
            _ if random.one_in(2) => random.below(70) as u64,
            _ => random.interesting_word(),
        };
        match *pattern {
            Pattern::Value(n) => into.values[n] = word,
            Pattern::Constant(n) => into.constants[n] = word,
            Pattern::Bits(_) => {}
            Pattern::Op(opcode, patterns) => assign(patterns, operand_kinds(opcode), random, into),
        }
    }
}

/// What a pattern computes; `None` where an operation in it is undefined.
fn of_pattern(pattern: &Pattern, assignment: &Assignment) -> Option<u64> {
    match *pattern {
        Pattern::Value(n) => Some(assignment.values[n]),
        Pattern::Constant(n) => Some(assignment.constants[n]),
        Pattern::Bits(bits) => Some(bits),
        Pattern::Op(opcode, patterns) => eval(opcode, &of_patterns(patterns, assignment)?),
    }
}

pub(super) fn of_patterns(patterns: &[Pattern], assignment: &Assignment) -> Option<SmallVec<[u64; 2]>> {
    patterns.iter().map(|pattern| of_pattern(pattern, assignment)).collect()
}

/// What a term computes; `None` where it is undefined.
fn of_term(term: Term, assignment: &Assignment) -> Option<u64> {
    match term {
        Term::Value(n) => Some(assignment.values[n]),
        Term::Op(opcode, args) => eval(opcode, &of_terms(args, assignment)?),
        term => Some(evaluate(term, assignment.constants)),
    }
}

fn of_terms(terms: &[Term], assignment: &Assignment) -> Option<SmallVec<[u64; 2]>> {
    terms.iter().map(|term| of_term(*term, assignment)).collect()
}

/// Whether a guard holds.
fn holds(opcode: Opcode, args: &[u64]) -> bool {
    match opcode {
        Opcode::GuardTrue | Opcode::GuardNonnull => args[0] != 0,
        Opcode::GuardFalse | Opcode::GuardIsnull => args[0] == 0,
        Opcode::GuardValue => args[0] == args[1],
        Opcode::GuardAlwaysFails => false,
        other => panic!("{} is in no rule", other.name()),
    }
}

/// Something that is true of a value.
pub(super) fn known_around(value: u64, random: &mut Random) -> Known<u64> {
    let signed = value as i64;
    let other = if random.one_in(2) {
        signed.wrapping_add(random.below(40) as i64 - 20)
    } else {
        random.word() as i64
    };
    let range = match random.below(4) {
        0 => Range::FULL,
        1 => Range::constant(signed),
        _ => Range::new(signed.min(other), signed.max(other)),
    };
    let shown = *random.pick(&[0, ONES, 0xff, !0xff, !0xf]) ^ if random.one_in(3) { random.word() } else { 0 };
    let bits = Bits {
        zeros: !value & shown,
        ones: value & shown,
    };
    Known::new(range, bits)
}

/// Whether what the rule puts in place of its pattern computes the same, and does not overflow.
pub(super) fn is_right(rule: &Rule, args: &[u64], assignment: &Assignment) -> bool {
    if rule.opcode.is_guard() {
        let now = match rule.term {
            Term::None => true,
            Term::Op(opcode, terms) => of_terms(terms, assignment).is_some_and(|args| holds(opcode, &args)),
            other => panic!("{}: a guard cannot become {other:?}", rule.name),
        };
        return holds(rule.opcode, args) == now;
    }
    eval(rule.opcode, args) == of_term(rule.term, assignment)
        && !(rule.opcode.class() == Class::Overflow && overflows(rule.opcode, args[0], args[1]))
}

#[test]
fn rules_keep_what_is_computed() {
    for (n, rule) in TABLE.iter().enumerate() {
        let mut random = Random(n as u64);
        let mut checked = 0;
        for _ in 0..12_000 {
            let mut assignment = Assignment::default();
            assign(rule.args, operand_kinds(rule.opcode), &mut random, &mut assignment);
            if random.one_in(8) {
                assignment.values[1] = assignment.values[0];
                assignment.constants[1] = assignment.constants[0];
            }
            let Some(args) = of_patterns(rule.args, &assignment) else {
                continue;
            };
            if !rule.opcode.is_guard() && eval(rule.opcode, &args).is_none() {
                continue;
            }
            let [x, y] = assignment.values.map(|value| known_around(value, &mut random));
            let [c, d] = assignment.constants;
            let matched = Matched { x, y, c, d };
            if rule.condition.is_none_or(|condition| (condition.holds)(&matched)) {
                assert!(is_right(rule, &args, &assignment), "{} with {assignment:x?}", rule.name);
                checked += 1;
            }
        }
        assert!(
            checked > 20,
            "{}: only {checked} of the assignments meet its condition",
            rule.name
        );
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<&str> = crate::rule_names().collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn patterns_have_their_constants_on_the_right() {
    fn check(rule: &Rule, opcode: Opcode, patterns: &[Pattern]) {
        if opcode.info().commutative {
            assert!(
                !matches!(patterns[0], Pattern::Constant(_) | Pattern::Bits(_)),
                "{}",
                rule.name
            );
        }
        for pattern in patterns {
            if let Pattern::Op(opcode, patterns) = pattern {
                check(rule, *opcode, patterns);
            }
        }
    }
    for rule in TABLE {
        check(rule, rule.opcode, rule.args);
    }
}
