//! A proof of every rule of the table, for all values of its variables.
//!
//! A rule is right if, wherever its pattern is defined, what is known of `x` and `y` is true of them and its condition
//! holds, what takes the pattern's place is defined, computes the same and does not overflow; a guard in its place
//! holds exactly when it does. All of this is one circuit of unknown bits ([`gates`], [`words`]): the variables, and
//! beside `x` and `y` their ranges and known bits. The opposite is given to a SAT solver. If that has no answer, the
//! rule is proved; an answer is a [`Counterexample`].
//!
//! Numbers have 64 bits, except for the rules about which [`METHODS`] says something else. [`UNPROVED`] are the rules
//! that have no circuit.

mod gates;
mod words;

pub(crate) use gates::Bit;
pub(crate) use words::Word;

use super::condition::{Condition, Integer, Known, Matched};
use super::tests::{Assignment, is_right, of_patterns};
use super::{ONES, Pattern, Rule, TABLE, Term};
use gates::{Graph, Values};
use metatrace_ir::eval::eval;
use metatrace_ir::random::Random;
use metatrace_ir::{Class, Opcode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fmt, iter, thread};
use words::{Computed, computed, overflows};

/// How a rule is proved.
#[derive(Clone, Copy, Debug)]
enum Method {
    /// For numbers of so many bits.
    Width(usize),
    /// For each power of two as `c`, and for what else `c` may be.
    PowersOfTwo,
    /// For each mask of low bits as `c`, and for what else `c` may be.
    LowMasks,
    /// For each number that the low 6 bits of `c` may be: those that a shift looks at.
    Counts,
}

/// The rules that are not proved by one question about 64 bits.
const METHODS: &[(&str, Method)] = &[
    // products of unknown factors are beyond solvers at 64 bits; neither rule is about a width
    ("mul_constants", Method::Width(6)),
    ("mul_ovf_in_range", Method::Width(8)),
    // with a constant the circuits of products, quotients and shifts fold
    ("mul_power_of_two", Method::PowersOfTwo),
    ("div_natural", Method::PowersOfTwo),
    ("mod_natural", Method::PowersOfTwo),
    ("udiv_power_of_two", Method::PowersOfTwo),
    ("umod_power_of_two", Method::PowersOfTwo),
    ("and_of_masked_product", Method::LowMasks),
    ("and_of_masked_shift", Method::LowMasks),
    ("lshift_twice", Method::Counts),
    ("rshift_twice", Method::Counts),
    ("urshift_twice", Method::Counts),
    ("shift_up_and_down", Method::Counts),
    ("shift_down_and_up", Method::Counts),
    ("shift_down_and_up_signed", Method::Counts),
];

/// The rules that are not proved, and why.
const UNPROVED: &[(&str, &str)] = &[(
    "float_div_by_power_of_two",
    "there is no circuit of float products and quotients; every such power of two is tried instead",
)];

/// What `c` is.
#[derive(Clone, Debug)]
enum Choice {
    Any,
    Is(u64),
    /// A number with these low 6 bits.
    EndsIn(u64),
    NoneOf(Vec<u64>),
}

/// The cases to prove, which are all there are: widths, and what `c` is.
fn cases(rule: &Rule) -> Vec<(usize, Choice)> {
    let split = |choices: Vec<u64>| {
        let each = choices.iter().map(|c| (64, Choice::Is(*c)));
        each.chain([(64, Choice::NoneOf(choices.clone()))]).collect()
    };
    match METHODS.iter().find(|(name, _)| *name == rule.name) {
        None => vec![(64, Choice::Any)],
        Some((_, Method::Width(width))) => vec![(*width, Choice::Any)],
        Some((_, Method::Counts)) => (0..64).map(|count| (64, Choice::EndsIn(count))).collect(),
        Some((_, Method::PowersOfTwo)) => split((0..64).map(|at| 1 << at).collect()),
        Some((_, Method::LowMasks)) => split(
            (0..=64)
                .map(|count| !u64::MAX.checked_shl(count).unwrap_or(0))
                .collect(),
        ),
    }
}

/// The circuits of a rule.
struct Question<'g> {
    graph: &'g Graph,
    width: usize,
    values: [Word<'g>; 2],
    matched: Matched<Word<'g>>,
}

impl<'g> Question<'g> {
    fn new(graph: &'g Graph, width: usize, choice: &Choice) -> Question<'g> {
        let word = || Word::input(graph, width);
        let known = || Known {
            lo: word(),
            hi: word(),
            zeros: word(),
            ones: word(),
        };
        let c = match choice {
            Choice::Is(c) => Word::constant(graph, width, *c),
            Choice::EndsIn(count) => {
                let low = Word::constant(graph, width, 63);
                word() & !low | Word::constant(graph, width, *count)
            }
            Choice::Any | Choice::NoneOf(_) => word(),
        };
        Question {
            graph,
            width,
            values: [word(), word()],
            matched: Matched {
                x: known(),
                y: known(),
                c,
                d: word(),
            },
        }
    }

    fn constant(&self, n: u64) -> Word<'g> {
        Word::constant(self.graph, self.width, n)
    }

    fn all(&self, bits: impl IntoIterator<Item = Bit<'g>>) -> Bit<'g> {
        bits.into_iter().fold(self.graph.constant(true), |all, bit| all & bit)
    }

    /// Whether what is known of the values is true, the condition holds, and `c` is one of the choices.
    fn premises(&self, rule: &Rule, choice: &Choice) -> Bit<'g> {
        let known = [self.matched.x, self.matched.y];
        let is_true = known.into_iter().zip(self.values).map(|(known, value)| {
            let in_range = known.lo.le(value) & value.le(known.hi);
            in_range & (value & known.zeros).is(0) & (!value & known.ones).is(0)
        });
        let excluded = match choice {
            Choice::NoneOf(excluded) => excluded.as_slice(),
            Choice::Any | Choice::Is(_) | Choice::EndsIn(_) => &[],
        };
        let condition = rule.condition.map(|condition| (condition.circuit)(&self.matched));
        self.all(is_true.chain(condition)) & self.all(excluded.iter().map(|c| !self.matched.c.is(*c)))
    }

    fn constants(&self) -> [Word<'g>; 2] {
        [self.matched.c, self.matched.d]
    }

    fn defined(&self, word: Word<'g>) -> Computed<'g> {
        Computed {
            word,
            defined: self.graph.constant(true),
        }
    }

    fn pattern(&self, pattern: &Pattern) -> Computed<'g> {
        match *pattern {
            Pattern::Value(n) => self.defined(self.values[n]),
            Pattern::Constant(n) => self.defined(self.constants()[n]),
            Pattern::Bits(bits) => self.defined(self.constant(bits)),
            Pattern::Op(opcode, args) => self.operation(opcode, &self.patterns(args)),
        }
    }

    fn patterns(&self, patterns: &[Pattern]) -> Vec<Computed<'g>> {
        patterns.iter().map(|pattern| self.pattern(pattern)).collect()
    }

    fn term(&self, term: &Term) -> Computed<'g> {
        match *term {
            Term::Value(n) => self.defined(self.values[n]),
            Term::Constant(n) => self.defined(self.constants()[n]),
            Term::Bits(bits) => self.defined(self.constant(bits)),
            Term::Eval(opcode, args) | Term::Op(opcode, args) => self.operation(opcode, &self.terms(args)),
            Term::None => panic!("only a guard has nothing in its place"),
        }
    }

    fn terms(&self, terms: &[Term]) -> Vec<Computed<'g>> {
        terms.iter().map(|term| self.term(term)).collect()
    }

    fn operation(&self, opcode: Opcode, args: &[Computed<'g>]) -> Computed<'g> {
        let words: Vec<Word<'g>> = args.iter().map(|arg| arg.word).collect();
        let Some(result) = computed(opcode, &words) else {
            panic!("{} has no circuit", opcode.name());
        };
        let defined = result.defined & self.all(args.iter().map(|arg| arg.defined));
        Computed { defined, ..result }
    }

    /// A guard as a word that is 1 if it holds.
    fn guard(&self, opcode: Opcode, args: &[Computed<'g>]) -> Computed<'g> {
        let holds = match (opcode, args) {
            (Opcode::GuardTrue | Opcode::GuardNonnull, [a]) => !a.word.is(0),
            (Opcode::GuardFalse | Opcode::GuardIsnull, [a]) => a.word.is(0),
            (Opcode::GuardValue, [a, b]) => a.word.equals(b.word),
            (Opcode::GuardAlwaysFails, []) => self.graph.constant(false),
            (other, _) => panic!("{} is in no rule", other.name()),
        };
        Computed {
            word: Word::select(holds, self.constant(1), self.constant(0)),
            defined: self.all(args.iter().map(|arg| arg.defined)),
        }
    }

    /// What the rule finds, and what it puts in its place.
    fn sides(&self, rule: &Rule) -> [Computed<'g>; 2] {
        let args = self.patterns(rule.args);
        if !rule.opcode.is_guard() {
            return [self.operation(rule.opcode, &args), self.term(&rule.term)];
        }
        let now = match rule.term {
            Term::None => self.defined(self.constant(1)),
            Term::Op(opcode, terms) => self.guard(opcode, &self.terms(terms)),
            other => panic!("{}: a guard cannot become {other:?}", rule.name),
        };
        [self.guard(rule.opcode, &args), now]
    }

    /// What makes a counterexample easier to read: little is known, and numbers are small.
    fn wishes(&self) -> Vec<Bit<'g>> {
        let Matched { x, y, c, d } = self.matched;
        let sign = self.constant(1 << (self.width - 1));
        let unknown = [x, y].into_iter().flat_map(|known| {
            let range = known.lo.equals(sign) & known.hi.equals(!sign);
            [range, known.zeros.is(0) & known.ones.is(0)]
        });
        let numbers = [self.values[0], self.values[1], c, d];
        let small = [64, 4].map(|bound| numbers.map(|number| number.below(self.constant(bound))));
        unknown.chain(small.into_iter().flatten()).collect()
    }

    /// Values for which all of this is true, and as many wishes as possible.
    fn solve(&self, mut wanted: Vec<Bit<'g>>) -> Option<Values> {
        let mut values = self.graph.solve(&wanted)?;
        for wish in self.wishes() {
            wanted.push(wish);
            match self.graph.solve(&wanted) {
                Some(better) => values = better,
                None => drop(wanted.pop()),
            }
        }
        Some(values)
    }

    /// Whether the rule's pattern is an operation that overflows.
    fn overflows(&self, rule: &Rule) -> Bit<'g> {
        match self.patterns(rule.args)[..] {
            [a, b] if rule.opcode.class() == Class::Overflow => overflows(rule.opcode, a.word, b.word),
            _ => self.graph.constant(false),
        }
    }
}

/// Values for which a rule is wrong.
#[derive(Debug)]
struct Counterexample {
    rule: &'static Rule,
    width: usize,
    values: [u64; 2],
    matched: Matched<u64>,
    /// What the pattern gives.
    found: u64,
    overflows: bool,
    /// What is in its place gives; `None`: it is undefined.
    now: Option<u64>,
}

impl Counterexample {
    fn new(rule: &'static Rule, question: &Question<'_>, values: &Values) -> Counterexample {
        let number = |word: Word<'_>| word.value(values, 0);
        let known = |known: Known<Word<'_>>| Known {
            lo: number(known.lo),
            hi: number(known.hi),
            zeros: number(known.zeros),
            ones: number(known.ones),
        };
        // the same gates as before
        let [found, now] = question.sides(rule);
        let is_true = |bit| values.bit(bit) & 1 != 0;
        let Matched { x, y, c, d } = question.matched;
        Counterexample {
            rule,
            width: question.width,
            values: question.values.map(number),
            matched: Matched {
                x: known(x),
                y: known(y),
                c: number(c),
                d: number(d),
            },
            found: number(found.word),
            overflows: is_true(question.overflows(rule)),
            now: is_true(now.defined).then(|| number(now.word)),
        }
    }

    /// Ends the line of a variable.
    fn write_known(&self, known: &Known<u64>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let above = 64 - self.width;
        let [lo, hi] = [known.lo, known.hi].map(|end| (end << above) as i64 >> above);
        if (lo, hi) != (i64::MIN >> above, i64::MAX >> above) {
            write!(f, ", from {lo} to {hi}")?;
        }
        for (name, bits) in [("zeros", known.zeros), ("ones", known.ones)] {
            if bits != 0 {
                write!(f, ", {name} {bits:#x}")?;
            }
        }
        writeln!(f)
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} is wrong for {} bits:", self.rule.name, self.width)?;
        let Matched { x, y, c, d } = &self.matched;
        for (n, (name, known)) in [("x", x), ("y", y)].into_iter().enumerate() {
            if mentions(self.rule.args, Pattern::Value(n)) {
                write!(f, "    {name} = {:#x}", self.values[n])?;
                self.write_known(known, f)?;
            }
        }
        for (n, (name, constant)) in [("c", c), ("d", d)].into_iter().enumerate() {
            if mentions(self.rule.args, Pattern::Constant(n)) {
                writeln!(f, "    {name} = {constant:#x}")?;
            }
        }
        let overflow = if self.overflows { " and overflows" } else { "" };
        write!(f, "    the pattern gives {:#x}{overflow}, ", self.found)?;
        match self.now {
            Some(now) => write!(f, "what takes its place {now:#x}"),
            None => f.write_str("what takes its place is undefined"),
        }
    }
}

/// Whether a variable is somewhere in these patterns.
fn mentions(patterns: &[Pattern], variable: Pattern) -> bool {
    patterns.iter().any(|pattern| match (pattern, variable) {
        (Pattern::Op(_, patterns), variable) => mentions(patterns, variable),
        (Pattern::Value(n), Pattern::Value(m)) | (Pattern::Constant(n), Pattern::Constant(m)) => *n == m,
        _ => false,
    })
}

/// Proves a rule, case by case.
///
/// # Errors
/// Values for which it is wrong.
fn prove(rule: &'static Rule) -> Result<(), Box<Counterexample>> {
    for (width, choice) in cases(rule) {
        let graph = Graph::new();
        let question = Question::new(&graph, width, &choice);
        let [found, now] = question.sides(rule);
        let is_right = now.defined & now.word.equals(found.word) & !question.overflows(rule);
        let wanted = vec![found.defined, question.premises(rule, &choice), !is_right];
        if let Some(values) = question.solve(wanted) {
            return Err(Box::new(Counterexample::new(rule, &question, &values)));
        }
    }
    Ok(())
}

fn is_unproved(rule: &Rule) -> bool {
    UNPROVED.iter().any(|(name, _)| *name == rule.name)
}

#[test]
fn every_rule_is_proved() {
    let next = AtomicUsize::new(0);
    let rules = || iter::from_fn(|| TABLE.get(next.fetch_add(1, Ordering::Relaxed)));
    let wrong = || -> Vec<String> {
        let provable = rules().filter(|rule| !is_unproved(rule));
        let wrong = provable.filter_map(|rule| prove(rule).err());
        wrong.map(|counterexample| counterexample.to_string()).collect()
    };
    let wrong: Vec<String> = thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let provers: Vec<_> = (0..threads).map(|_| scope.spawn(wrong)).collect();
        let wrong = provers
            .into_iter()
            .map(|prover| prover.join().expect("a prover panics"));
        wrong.flatten().collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A proof is not one because nothing meets its premises.
#[test]
fn every_rule_applies_somewhere() {
    for rule in TABLE.iter().filter(|rule| !is_unproved(rule)) {
        let applies = cases(rule).into_iter().any(|(width, choice)| {
            let graph = Graph::new();
            let question = Question::new(&graph, width, &choice);
            let [found, _] = question.sides(rule);
            let premises = question.premises(rule, &choice);
            graph.solve(&[found.defined, premises]).is_some()
        });
        assert!(applies, "{} never applies", rule.name);
    }
}

/// Rules that are not in the table.
static WRONG: &[Rule] = rules! {
    wrong_constant: (IntXor x 1) => (IntInvert x);
    wrong_operator: (IntSub x (IntNeg y)) => (IntSub x y);
    wrong_order: (IntNeg (IntSub x y)) => (IntSub x y);
    wrong_mask: (UintRshift (IntLshift x c) c) => (IntAnd x {IntLshift [ONES] c});
    wrong_count: (IntLshift (IntLshift x c) d) => (IntLshift x {IntAdd c d});
    wrong_sign: (IntRshift x c) => (UintRshift x c);
    wrong_width: (IntSignext (IntSignext x c) d) => (IntSignext x d), if |m| m.c.below(m.d);
    wrong_end: (IntLt x y) => 1, if |m| m.x.hi.le(m.y.lo);
    wrong_bits: (IntAnd (IntAdd x y) c) => (IntAnd x c), if |m| (m.y.possible() & m.c).is(0);
    wrong_float: (IntIsZero (FloatLt x y)) => (FloatGe x y);
    wrong_conversion: (CastFloatToInt (CastIntToFloat x)) => x, if |m| m.x.within(0, (1 << 53) + 1);
    wrong_guard: (GuardTrue x) => none, if |m| m.x.is_natural();
    may_overflow: (IntAddOvf x 1) => (IntAdd x 1), if |m| m.x.is_natural();
    may_be_undefined: (IntSub x x) => (IntSignext 0 x);
};

#[test]
fn wrong_rules_are_refused() {
    for rule in WRONG {
        let counterexample = prove(rule).expect_err(rule.name);
        let Counterexample {
            values: [x, y],
            matched,
            ..
        } = *counterexample;
        assert!(rule.condition.is_none_or(|condition| (condition.holds)(&matched)));
        for (known, value) in [(matched.x, x), (matched.y, y)] {
            assert!(known.lo.le(value) && value.le(known.hi));
            assert!(value & known.zeros == 0 && !value & known.ones == 0);
        }
        let assignment = Assignment {
            values: [x, y],
            constants: [matched.c, matched.d],
        };
        let args = of_patterns(rule.args, &assignment).expect("the pattern is defined");
        assert!(!is_right(rule, &args, &assignment), "{counterexample}");
    }
}

#[test]
fn a_counterexample_says_what_is_wrong() {
    let rule = WRONG
        .iter()
        .find(|rule| rule.name == "wrong_sign")
        .expect("it is there");
    let counterexample = Counterexample {
        rule,
        width: 64,
        values: [8, 0],
        matched: Matched {
            x: Known {
                lo: -1i64 as u64,
                hi: 9,
                zeros: 0x40,
                ones: 8,
            },
            y: Known::NOTHING,
            c: 8,
            d: 0,
        },
        found: 0,
        overflows: false,
        now: Some(8),
    };
    assert_eq!(
        counterexample.to_string(),
        "wrong_sign is wrong for 64 bits:
    x = 0x8, from -1 to 9, zeros 0x40, ones 0x8
    c = 0x8
    the pattern gives 0x0, what takes its place 0x8"
    );
}

/// The list of methods and that of the unproved rules are about rules.
#[test]
fn lists_are_of_rules() {
    let listed = METHODS
        .iter()
        .map(|(name, _)| name)
        .chain(UNPROVED.iter().map(|(name, _)| name));
    for name in listed {
        assert!(TABLE.iter().any(|rule| rule.name == *name), "{name} is no rule");
    }
}

/// Every float without a mantissa as divisor.
#[test]
fn quotients_by_powers_of_two_are_products() {
    let mut random = Random(1);
    for sign_and_exponent in 0..1u64 << 12 {
        let c = sign_and_exponent << 52;
        let [divisor, inverse] = [f64::from_bits(c), f64::from_bits(c).recip()];
        let is_exact = divisor.is_normal() && inverse.is_normal();
        assert_eq!(c.has_exact_inverse(), is_exact, "{divisor:e}");
        assert!(!(c | 1 << random.below(52)).has_exact_inverse());
        for _ in 0..if is_exact { 60 } else { 0 } {
            let x = if random.one_in(2) {
                random.word()
            } else {
                random.interesting_float()
            };
            let product = eval(Opcode::FloatMul, &[x, inverse.to_bits()]);
            assert_eq!(eval(Opcode::FloatTruediv, &[x, c]), product, "{x:#x} by {divisor:e}");
        }
    }
}
