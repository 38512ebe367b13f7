//! Circuits of unknown bits, and whether they can be true.
//!
//! A [`Graph`] holds and-gates, xor-gates and inputs; a [`Bit`] is a gate of it, or its inverse. Gates are made once:
//! what is built of the same bits is the same bit, and what is constant folds, so that two circuits that compute the
//! same in the same way need no solver. [`Graph::solve`] asks one for the rest, with the clauses of Tseitin's encoding.
//!
//! Graphs only grow. An input's number is its place among the inputs.

use batsat::{BasicSolver, Lit, SolverInterface, lbool};
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::fmt;
use std::ops::{BitAnd, BitOr, BitXor, Not};

/// A gate's number, twice, plus 1 if it is inverted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Edge(u32);

impl Edge {
    const FALSE: Edge = Edge(0);
    const TRUE: Edge = Edge(1);

    fn gate(self) -> usize {
        (self.0 >> 1) as usize
    }

    fn is_inverted(self) -> bool {
        self.0 & 1 != 0
    }

    fn inverted_if(self, inverted: bool) -> Edge {
        Edge(self.0 ^ u32::from(inverted))
    }
}

impl Not for Edge {
    type Output = Edge;

    fn not(self) -> Edge {
        self.inverted_if(true)
    }
}

/// Operands come before what they are operands of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Gate {
    /// Gate 0 only.
    False,
    Input(usize),
    And(Edge, Edge),
    Xor(Edge, Edge),
}

#[derive(Debug)]
struct Gates {
    all: Vec<Gate>,
    known: FxHashMap<Gate, Edge>,
    inputs: usize,
}

impl Gates {
    fn add(&mut self, gate: Gate) -> Edge {
        let next = Edge(2 * self.all.len() as u32);
        let edge = *self.known.entry(gate).or_insert(next);
        if edge == next {
            self.all.push(gate);
        }
        edge
    }

    fn and(&mut self, a: Edge, b: Edge) -> Edge {
        let (a, b) = (a.min(b), a.max(b));
        if a == Edge::FALSE || a == !b {
            return Edge::FALSE;
        }
        if a == Edge::TRUE || a == b {
            return b;
        }
        self.absorbed(a, b)
            .or_else(|| self.absorbed(b, a))
            .unwrap_or_else(|| self.add(Gate::And(a, b)))
    }

    /// `a & b`, if `b` is an and-gate, or its inverse, with an operand that is `a` or its inverse.
    fn absorbed(&mut self, a: Edge, b: Edge) -> Option<Edge> {
        let Gate::And(left, right) = self.all[b.gate()] else {
            return None;
        };
        let other = if left.gate() == a.gate() { right } else { left };
        let same = if left.gate() == a.gate() { left } else { right };
        if same.gate() != a.gate() {
            return None;
        }
        Some(match (same == a, b.is_inverted()) {
            (true, false) => b,
            (true, true) => self.and(a, !other),
            (false, false) => Edge::FALSE,
            (false, true) => a,
        })
    }

    fn xor(&mut self, a: Edge, b: Edge) -> Edge {
        let inverted = a.is_inverted() != b.is_inverted();
        let (a, b) = (a.inverted_if(a.is_inverted()), b.inverted_if(b.is_inverted()));
        let (a, b) = (a.min(b), a.max(b));
        let edge = if a == b {
            Edge::FALSE
        } else if a == Edge::FALSE {
            b
        } else {
            match (self.all[a.gate()], self.all[b.gate()]) {
                (_, Gate::Xor(same, other) | Gate::Xor(other, same)) if same == a => other,
                (Gate::Xor(same, other) | Gate::Xor(other, same), _) if same == b => other,
                _ => self.add(Gate::Xor(a, b)),
            }
        };
        edge.inverted_if(inverted)
    }
}

/// Gates, made when bits are combined.
#[derive(Debug)]
pub(crate) struct Graph(RefCell<Gates>);

/// A bit of a circuit.
#[derive(Clone, Copy)]
pub(crate) struct Bit<'g> {
    graph: &'g Graph,
    edge: Edge,
}

impl Graph {
    pub(super) fn new() -> Graph {
        Graph(RefCell::new(Gates {
            all: vec![Gate::False],
            known: FxHashMap::default(),
            inputs: 0,
        }))
    }

    pub(super) fn constant(&self, value: bool) -> Bit<'_> {
        self.bit(Edge::FALSE.inverted_if(value))
    }

    /// A new input.
    pub(super) fn input(&self) -> Bit<'_> {
        let mut gates = self.0.borrow_mut();
        let gate = Gate::Input(gates.inputs);
        gates.inputs += 1;
        self.bit(gates.add(gate))
    }

    fn bit(&self, edge: Edge) -> Bit<'_> {
        Bit { graph: self, edge }
    }

    /// What all gates are, 64 times at once, where `inputs(n)` are the values of input `n`.
    pub(super) fn values(&self, mut inputs: impl FnMut(usize) -> u64) -> Values {
        let gates = self.0.borrow();
        let mut values = Values(Vec::with_capacity(gates.all.len()));
        for gate in &gates.all {
            let value = match *gate {
                Gate::False => 0,
                Gate::Input(n) => inputs(n),
                Gate::And(a, b) => values.edge(a) & values.edge(b),
                Gate::Xor(a, b) => values.edge(a) ^ values.edge(b),
            };
            values.0.push(value);
        }
        values
    }

    /// Values of the gates for which all these bits are true; `None`: there are none.
    pub(super) fn solve(&self, wanted: &[Bit<'_>]) -> Option<Values> {
        if wanted.iter().any(|bit| bit.edge == Edge::FALSE) {
            return None;
        }
        let cone = self.cone(wanted);
        let mut solver = BasicSolver::default();
        let vars: Vec<_> = cone.iter().map(|used| used.then(|| solver.new_var_default())).collect();
        let literal = |edge: Edge| Lit::new(vars[edge.gate()].expect("in the cone"), !edge.is_inverted());
        let mut clause = |literals: &[Lit]| solver.add_clause_reuse(&mut literals.to_vec());
        let gates = self.0.borrow();
        for (n, gate) in gates.all.iter().enumerate().filter(|(n, _)| cone[*n]) {
            let out = literal(Edge(2 * n as u32));
            match *gate {
                Gate::False => {
                    clause(&[!out]);
                }
                Gate::Input(_) => {}
                Gate::And(a, b) => {
                    let (a, b) = (literal(a), literal(b));
                    clause(&[!out, a]);
                    clause(&[!out, b]);
                    clause(&[out, !a, !b]);
                }
                Gate::Xor(a, b) => {
                    let (a, b) = (literal(a), literal(b));
                    clause(&[!out, a, b]);
                    clause(&[!out, !a, !b]);
                    clause(&[out, !a, b]);
                    clause(&[out, a, !b]);
                }
            }
        }
        for bit in wanted {
            clause(&[literal(bit.edge)]);
        }
        let answer = solver.solve_limited(&[]);
        if answer == lbool::FALSE {
            return None;
        }
        assert!(answer == lbool::TRUE, "the solver has no limit");
        let inputs: FxHashMap<usize, u64> = gates
            .all
            .iter()
            .zip(&vars)
            .filter_map(|(gate, var)| match *gate {
                Gate::Input(n) => Some((n, u64::from(solver.value_var((*var)?) == lbool::TRUE))),
                _ => None,
            })
            .collect();
        let values = self.values(|n| inputs.get(&n).copied().unwrap_or(0));
        assert!(
            wanted.iter().all(|bit| values.bit(*bit) & 1 == 1),
            "the solver's answer is none"
        );
        Some(values)
    }

    /// Which gates matter to these bits.
    fn cone(&self, of: &[Bit<'_>]) -> Vec<bool> {
        let gates = self.0.borrow();
        let mut cone = vec![false; gates.all.len()];
        for bit in of {
            cone[bit.edge.gate()] = true;
        }
        for (n, gate) in gates.all.iter().enumerate().rev() {
            if let Gate::And(a, b) | Gate::Xor(a, b) = *gate
                && cone[n]
            {
                cone[a.gate()] = true;
                cone[b.gate()] = true;
            }
        }
        cone
    }
}

/// What the gates of a graph are, 64 times at once.
#[derive(Debug)]
pub(super) struct Values(Vec<u64>);

impl Values {
    pub(super) fn bit(&self, bit: Bit<'_>) -> u64 {
        self.edge(bit.edge)
    }

    fn edge(&self, edge: Edge) -> u64 {
        let value = self.0[edge.gate()];
        if edge.is_inverted() { !value } else { value }
    }
}

impl<'g> Bit<'g> {
    pub(super) fn graph(self) -> &'g Graph {
        self.graph
    }

    /// The same as the constant, if it is one.
    pub(super) fn as_constant(self) -> Option<bool> {
        (self.edge.gate() == 0).then(|| self.edge.is_inverted())
    }

    /// `then` if it is true, else `otherwise`.
    pub(super) fn select(self, then: Bit<'g>, otherwise: Bit<'g>) -> Bit<'g> {
        if then.edge == otherwise.edge {
            return then;
        }
        self & then | !self & otherwise
    }
}

impl<'g> BitAnd for Bit<'g> {
    type Output = Bit<'g>;

    fn bitand(self, other: Bit<'g>) -> Bit<'g> {
        let edge = self.graph.0.borrow_mut().and(self.edge, other.edge);
        self.graph.bit(edge)
    }
}

impl<'g> BitOr for Bit<'g> {
    type Output = Bit<'g>;

    fn bitor(self, other: Bit<'g>) -> Bit<'g> {
        !(!self & !other)
    }
}

impl<'g> BitXor for Bit<'g> {
    type Output = Bit<'g>;

    fn bitxor(self, other: Bit<'g>) -> Bit<'g> {
        let edge = self.graph.0.borrow_mut().xor(self.edge, other.edge);
        self.graph.bit(edge)
    }
}

impl<'g> Not for Bit<'g> {
    type Output = Bit<'g>;

    fn not(self) -> Bit<'g> {
        self.graph.bit(!self.edge)
    }
}

impl fmt::Debug for Bit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.edge)
    }
}
