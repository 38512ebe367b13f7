//! The engine on a portal written as jitcode by hand: which loops and bridges it makes, and that execution with them ends
//! where plain execution does.
//!
//! The guest: `while i < n { if i & 7 == 0 { s += 3 } else { s += i } i += 1 }`: the single green is a constant 0, the reds
//! are `i`, `n`, `s` in a native array. A second guest has two green keys, which it computes.

use metatrace_backend::reference::ReferenceExecutor;
use metatrace_backend::{Assembled, Backend, BackendError, ExitHandler, Forcing, LoopToken};
use metatrace_ir::{Const, Descr, FieldDescr, GuardId, JitCodeId, Kind, Memory, Opcode, Pointee, Trace, Word};
use metatrace_jitcode::liveness::Liveness;
use metatrace_jitcode::{
    CalleeKey, DescrIndex, Insn, JitCode, JitCodeSource, MergePoint, ParamWord, PortalCode, PortalSource, Reg,
    SmallCode,
};
use metatrace_metainterp::engine::hash_greens;
use metatrace_metainterp::{Abort, Engine, Entry, Next, Parameters, Stats, Twins, Unstageable};
use std::cell::Cell;
use std::rc::Rc;

fn blank(id: u32, name: &str, params: &[Kind]) -> JitCode {
    JitCode {
        id: JitCodeId(id),
        name: name.into(),
        params: params.to_vec(),
        results: Vec::new(),
        registers: params.to_vec(),
        consts: Vec::new(),
        insns: Vec::new(),
        descrs: Vec::new(),
        native_calls: Vec::new(),
        inline_calls: Vec::new(),
        switches: Vec::new(),
        returns: Vec::new(),
        merge_point: None,
        liveness: Liveness::default(),
    }
}

fn finished(mut code: JitCode) -> Rc<JitCode> {
    code.liveness = Liveness::compute(&code);
    Rc::new(code)
}

fn word_field() -> Rc<Descr> {
    Rc::new(Descr::Field(FieldDescr {
        name: "Variable.word".into(),
        offset: 0,
        word: Word::U64,
        memory: Memory::Rust,
        frozen: true,
        pointee: Pointee::Unknown,
    }))
}

/// `fn guest(pc, i, n, s) -> s`, all words.
fn guest() -> Rc<JitCode> {
    let (pc, i, n, s, t) = (Reg(0), Reg(1), Reg(2), Reg(3), Reg(4));
    let (zero, one, three, seven) = (Reg(5), Reg(6), Reg(7), Reg(8));
    let pure = |op, dst, a, b| Insn::Pure { op, dst, a, b };
    let mut code = blank(0, "guest", &[Kind::Int; 4]);
    code.results = vec![Kind::Int];
    code.registers.push(Kind::Int);
    code.consts = [0, 1, 3, 7].map(Const::int).to_vec();
    code.merge_point = Some(MergePoint {
        greens: Box::new([pc]),
        frozen: Box::new([false]),
        reds: Box::new([i, n, s]),
    });
    code.returns = vec![Box::new([s])];
    code.insns = vec![
        Insn::Header,
        Insn::MergePoint,
        Insn::BranchIf {
            op: Opcode::IntLt,
            a: i,
            b: n,
            if_false: 10,
        },
        pure(Opcode::IntAnd, t, i, seven),
        Insn::BranchIf {
            op: Opcode::IntEq,
            a: t,
            b: zero,
            if_false: 11,
        },
        pure(Opcode::IntAdd, s, s, three),
        pure(Opcode::IntAdd, i, i, one),
        Insn::BackEdge,
        Insn::Goto { to: 0 },
        Insn::Unreachable,
        Insn::Return { values: 0 },
        pure(Opcode::IntAdd, s, s, i),
        Insn::Goto { to: 6 },
    ];
    finished(code)
}

/// The same parameters. With `pc` 0 it sets `x` and goes on with `pc` 1, the inner loop, where `x` is set only if `i & 1`
/// says so, and read only then: `x` is live at the test of `i & 2` between the two, and may hold what an earlier iteration
/// left in it. `pc` becomes `n != 0` here and `i & 15 != 0` there: no constant until it is promoted.
fn guest_of_two_keys() -> Rc<JitCode> {
    let [pc, i, n, s, t, x, flag] = [0, 1, 2, 3, 4, 5, 6].map(Reg);
    let [zero, one, two, three, fifteen] = [7, 8, 9, 10, 11].map(Reg);
    let pure = |op, dst, a, b| Insn::Pure { op, dst, a, b };
    let branch_if = |op, a, b, if_false| Insn::BranchIf { op, a, b, if_false };
    let mut code = blank(0, "two keys", &[Kind::Int; 4]);
    code.results = vec![Kind::Int];
    code.registers.extend([Kind::Int; 3]);
    code.consts = [0, 1, 2, 3, 15].map(Const::int).to_vec();
    code.merge_point = Some(MergePoint {
        greens: Box::new([pc]),
        frozen: Box::new([false]),
        reds: Box::new([i, n, s]),
    });
    code.returns = vec![Box::new([s])];
    code.insns = vec![
        Insn::Header,
        Insn::MergePoint,
        branch_if(Opcode::IntLt, i, n, 24),
        branch_if(Opcode::IntEq, pc, zero, 8),
        pure(Opcode::IntMul, x, i, three),
        pure(Opcode::IntAdd, s, s, x),
        pure(Opcode::IntIsTrue, pc, n, n),
        Insn::Goto { to: 22 },
        pure(Opcode::IntAnd, t, i, one), // 8
        Insn::Move { dst: flag, src: zero },
        branch_if(Opcode::IntEq, t, one, 13),
        Insn::Move { dst: flag, src: one },
        pure(Opcode::IntAdd, x, i, one),
        pure(Opcode::IntAnd, t, i, two), // 13
        branch_if(Opcode::IntEq, t, zero, 16),
        pure(Opcode::IntAdd, s, s, three),
        branch_if(Opcode::IntEq, flag, one, 18), // 16
        pure(Opcode::IntAdd, s, s, x),
        pure(Opcode::IntAdd, i, i, one), // 18
        pure(Opcode::IntAnd, t, i, fifteen),
        pure(Opcode::IntIsTrue, pc, t, t),
        Insn::Goto { to: 22 },
        Insn::BackEdge, // 22
        Insn::Goto { to: 0 },
        Insn::Return { values: 0 },
    ];
    finished(code)
}

struct Source {
    codes: Vec<Rc<JitCode>>,
    portal: Rc<PortalCode>,
}

impl Source {
    fn new(guest: Rc<JitCode>) -> Source {
        let load = |dst, base| Insn::Load {
            dst: Reg(dst),
            base: Reg(base),
            descr: DescrIndex(0),
        };
        let store = |base, src| Insn::Store {
            base: Reg(base),
            src: Reg(src),
            descr: DescrIndex(0),
        };
        let mut load_params = blank(1, "load", &[Kind::Ref; 4]);
        load_params.registers.extend([Kind::Int; 4]);
        load_params.descrs = vec![word_field()];
        load_params.returns = vec![(4..8).map(Reg).collect()];
        load_params.insns = (0..4)
            .map(|n| load(4 + n, n))
            .chain([Insn::Return { values: 0 }])
            .collect();
        let kinds = [[Kind::Ref; 4], [Kind::Int; 4]].concat();
        let mut store_params = blank(2, "store", &kinds);
        store_params.descrs = vec![word_field()];
        store_params.returns = vec![Box::new([])];
        store_params.insns = (0..4)
            .map(|n| store(n, 4 + n))
            .chain([Insn::Return { values: 0 }])
            .collect();
        let mut store_result = blank(3, "result", &[Kind::Ref, Kind::Int]);
        store_result.descrs = vec![word_field()];
        store_result.returns = vec![Box::new([])];
        store_result.insns = vec![store(0, 1), Insn::Return { values: 0 }];
        let portal = Rc::new(PortalCode {
            jitcode: guest,
            load_params: SmallCode::new(finished(load_params)),
            store_params: SmallCode::new(finished(store_params)),
            store_result: SmallCode::new(finished(store_result)),
            param_words: vec![
                ParamWord::Green(0),
                ParamWord::Red(0),
                ParamWord::Red(1),
                ParamWord::Red(2),
            ],
            red_roots: vec![None; 3],
            red_words: vec![Word::I64; 3],
        });
        let codes = vec![
            portal.jitcode.clone(),
            portal.load_params.code.clone(),
            portal.store_params.code.clone(),
            portal.store_result.code.clone(),
        ];
        Source { codes, portal }
    }
}

impl JitCodeSource for Source {
    fn jitcode(&self, key: CalleeKey) -> Rc<JitCode> {
        panic!("nothing is called: {key:?}")
    }

    fn by_id(&self, id: JitCodeId) -> Rc<JitCode> {
        self.codes[id.0 as usize].clone()
    }
}

impl PortalSource for Source {
    fn build_twins(&self, _: CalleeKey) -> Result<Twins, Unstageable> {
        Ok(Twins::default())
    }

    fn portal(&self, _: CalleeKey) -> Rc<PortalCode> {
        self.portal.clone()
    }
}

/// A backend that is lost after so many executions, as where one of them forks.
struct Losable {
    backend: ReferenceExecutor,
    executions_left: Cell<u64>,
}

impl Backend for Losable {
    fn name(&self) -> &'static str {
        self.backend.name()
    }

    fn is_available(&self) -> bool {
        self.executions_left.get() > 0
    }

    fn compile_loop(&self, token: LoopToken, trace: &Trace) -> Result<Assembled, BackendError> {
        assert!(self.is_available(), "compiled in a lost backend");
        self.backend.compile_loop(token, trace)
    }

    fn compile_bridge(&self, token: LoopToken, guard: GuardId, trace: &Trace) -> Result<Assembled, BackendError> {
        assert!(self.is_available(), "compiled in a lost backend");
        self.backend.compile_bridge(token, guard, trace)
    }

    unsafe fn execute(&self, token: LoopToken, args: &[u64], handler: &mut dyn ExitHandler) {
        assert!(self.is_available(), "entered a lost backend");
        // SAFETY: forwarded.
        unsafe { self.backend.execute(token, args, handler) };
        self.executions_left.set(self.executions_left.get() - 1);
    }

    fn free_loop(&self, token: LoopToken) {
        self.backend.free_loop(token);
    }
}

/// The variables of a portal's native function: `pc`, `i`, `n`, `s`.
type Variables = [u64; 4];

/// One iteration of the first guest.
fn step(vars: &mut Variables) {
    let [_, i, _, s] = vars;
    *s += if *i & 7 == 0 { 3 } else { *i };
    *i += 1;
}

/// One iteration of the second guest.
fn step_of_two_keys(vars: &mut Variables) {
    let [pc, i, _, s] = vars;
    if *pc == 0 {
        *s += *i * 3;
        *pc = 1;
        return;
    }
    *s += if *i & 2 == 0 { 3 } else { 0 };
    *s += if *i & 1 == 1 { *i + 1 } else { 0 };
    *i += 1;
    *pc = (*i & 15 != 0).into();
}

fn run(n: u64, params: &str) -> (u64, Stats) {
    run_guest(guest(), step, n, params, u64::MAX)
}

/// What a portal's native function does. It enters at green key 0. Of the parameters, those behind a semicolon apply once
/// there is a loop. The backend is lost after so many `executions`; without any, there is none.
fn run_guest(guest: Rc<JitCode>, step: fn(&mut Variables), n: u64, params: &str, executions: u64) -> (u64, Stats) {
    let (params, mut later) = match params.split_once(';') {
        Some((params, later)) => (params, Some(later)),
        None => (params, None),
    };
    let mut parameters = Parameters::default();
    parameters.apply(params).expect("good parameters");
    let make_backend = move |params: &Parameters| {
        if executions == 0 {
            return Err(BackendError::Unavailable("no backend".into()));
        }
        let forcing = match params.force_exits {
            0 => Forcing::Off,
            n => Forcing::OneIn { n, seed: params.seed },
        };
        Ok(Box::new(Losable {
            backend: ReferenceExecutor::new(forcing),
            executions_left: Cell::new(executions),
        }) as Box<dyn Backend>)
    };
    let engine = Engine::new(parameters, Rc::new(Source::new(guest)), Box::new(make_backend));
    let mut vars = [0u64, 0, n, 0];
    let mut result = 0u64;
    loop {
        let [_, i, n, s] = vars;
        if i >= n {
            return (s, engine.stats());
        }
        step(&mut vars);
        if engine.stats().loops > 0
            && let Some(params) = later.take()
        {
            let mut parameters = engine.parameters();
            parameters.apply(params).expect("good parameters");
            engine.set_parameters(parameters);
        }
        let greens = [vars[0]];
        let hash = hash_greens(&greens);
        // only the outer loop is counted, so that the inner one is found while the outer one is recorded
        if vars[0] != 0 || !engine.counters().tick(hash) {
            continue;
        }
        let params: Vec<u64> = vars.iter_mut().map(|var| std::ptr::from_mut(var) as u64).collect();
        let entry = Entry {
            portal: CalleeKey(1),
            name: "guest",
            location: None,
            greens: &greens,
            hash,
            params: &params,
            result: &raw mut result as u64,
        };
        // SAFETY: the addresses are those of the variables and of the result.
        match unsafe { engine.enter(&entry) } {
            Next::Go => {}
            Next::Return => return (result, engine.stats()),
            Next::Panic(_) => panic!("the guest does not panic"),
        }
    }
}

fn expected(n: u64) -> u64 {
    (0..n).map(|i| if i & 7 == 0 { 3 } else { i }).sum()
}

#[test]
fn a_loop_and_its_bridges_stay_in_compiled_code() {
    let (result, stats) = run(100_000, "threshold=5,trace_eagerness=4,strict=1");
    assert_eq!(result, expected(100_000));
    assert_eq!(
        (stats.loops, stats.bridges, stats.total_aborts()),
        (1, 1, 0),
        "{stats:?}"
    );
    assert!(stats.entries < 10 && stats.exits < 10, "{stats:?}");
}

#[test]
fn loops_are_cut_out_of_recordings_without_what_came_before() {
    let mut plain = [0, 0, 5000, 0];
    while plain[1] < plain[2] {
        step_of_two_keys(&mut plain);
    }
    for threshold in 1..20 {
        let params = format!("threshold={threshold},trace_eagerness=4,strict=1");
        let (result, stats) = run_guest(guest_of_two_keys(), step_of_two_keys, 5000, &params, u64::MAX);
        assert_eq!(result, plain[3], "{params}");
        assert!(stats.loops >= 1 && stats.total_aborts() == 0, "{params}: {stats:?}");
    }
}

#[test]
fn compiled_code_counts_the_merge_points_it_passes() {
    let (result, stats) = run(100_000, "threshold=5,trace_eagerness=4,count=1");
    assert_eq!(result, expected(100_000));
    assert!((99_900..100_000).contains(&stats.merge_points), "{stats:?}");
}

#[test]
fn every_threshold_gives_the_same() {
    for n in [1, 2, 3, 9, 50, 1000] {
        for params in [
            "off",
            "default",
            "threshold=1",
            "threshold=1,trace_eagerness=1",
            "threshold=7,trace_limit=300",
        ] {
            assert_eq!(run(n, params).0, expected(n), "{n} {params}");
        }
    }
}

#[test]
fn forced_exits_change_nothing() {
    for seed in 1..30 {
        let (result, stats) = run(
            2000,
            &format!("threshold=2,trace_eagerness=3,force_exits=5,seed={seed}"),
        );
        assert_eq!(result, expected(2000));
        assert!(stats.exits > 0 && stats.loops > 0, "{stats:?}");
    }
}

#[test]
fn guards_stay_forced_when_the_parameters_change() {
    for seed in 1..30 {
        let params = format!("threshold=2,trace_eagerness=3,force_exits=5,seed={seed};force_exits=0");
        let (result, stats) = run(2000, &params);
        assert_eq!(result, expected(2000), "{params}");
        assert!(stats.bridges > 0, "{stats:?}");
    }
}

#[test]
fn too_long_a_trace_is_given_up_for_good_in_the_end() {
    let (result, stats) = run(100_000, "threshold=3,trace_limit=2");
    assert_eq!(result, expected(100_000));
    assert_eq!(stats.loops, 0);
    assert_eq!(stats.aborts.of(Abort::TraceTooLong), 6, "{stats:?}");
}

#[test]
fn a_lost_backend_leaves_all_to_the_interpreter() {
    // With many exits, so that there is something to be entered again.
    let params = "threshold=5,trace_eagerness=1000000,strict=1";
    let (result, stats) = run_guest(guest(), step, 100_000, params, 20);
    assert_eq!(result, expected(100_000));
    assert_eq!(stats.entries, 20);
    let (_, kept) = run(100_000, params);
    assert!(kept.entries > 20, "{kept:?}");
}

#[test]
fn nothing_is_recorded_without_a_backend() {
    let (result, stats) = run_guest(guest(), step, 100_000, "threshold=5", 0);
    assert_eq!(result, expected(100_000));
    assert_eq!((stats.tracings, stats.loops), (0, 0), "{stats:?}");
    assert_eq!(stats.aborts.of(Abort::Unavailable), 1, "{stats:?}");
}

#[test]
#[should_panic(expected = "trace too long")]
fn strict_mode_fails_on_an_abort() {
    run(1000, "threshold=3,trace_limit=2,strict=1");
}
