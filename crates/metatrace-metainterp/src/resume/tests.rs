//! What is read is what was written.

use super::encoder::Writer;
use super::*;
use metatrace_ir::random::{Config, Random, trace};
use metatrace_ir::text::parse;
use metatrace_ir::{Frame, Op, Snapshot, Trace};

/// A random trace whose snapshots all name their frames.
fn random_trace(seed: u64) -> Trace {
    let mut random = Random(seed);
    let seeds: Vec<u64> = (0..random.below(60)).map(|_| random.word()).collect();
    let mut trace = trace(&seeds, &Config::everything());
    for (n, snapshot) in trace.snapshots.iter_mut().enumerate() {
        let (jitcode, pc) = (JitCodeId(n as u32 % 3), random.below(1000) as u32);
        snapshot.frame.get_or_insert(Frame { jitcode, pc });
        if let Some(&first) = snapshot.values.first()
            && random.one_in(3)
        {
            snapshot.values.push(first);
        }
    }
    trace
}

fn check_guard(trace: &Trace, op: &Op, resume: &ResumeData) {
    let snapshot = op.snapshot.expect("an exit has a snapshot");
    let exit = trace.exit(op);
    let args = &exit.values;
    let steps: Vec<Step<'_, Word>> = resume.record().steps().collect();
    assert_eq!(steps.len(), exit.program.len());
    let result = |n: usize| {
        steps
            .iter()
            .position(|step| step.number == n)
            .map(|step| exit.program[step])
    };
    let same = |word: Word, value: Ref| match word {
        Word::Exit(n) => assert_eq!(args[n], value),
        Word::Sunk(n) => assert_eq!(result(n), Some(value)),
        Word::Const(constant, green) => {
            assert_eq!((Some(constant), green), (trace.as_const(value), value.is_green()));
        }
    };
    let frames: Vec<&Snapshot> = trace.frames(snapshot).collect();
    let read = resume.frames();
    assert_eq!(read.len(), frames.len());
    assert_eq!((resume.opcode, resume.early), (op.opcode, op.early));
    let mut kinds = Vec::new();
    for (read, written) in read.iter().zip(&frames).rev() {
        let (jitcode, pc) = (read.jitcode, read.pc);
        assert_eq!(Some(Frame { jitcode, pc }), written.frame);
        let words = read.all_words(&resume.pool, kinds.len());
        read.add_kinds(&resume.pool, &mut kinds);
        assert_eq!(words.len(), written.values.len());
        for (word, value) in words.into_iter().zip(&written.values) {
            same(word, *value);
        }
    }
    for (step, value) in steps.iter().zip(&exit.program) {
        let op = trace.sunk_op(*value).expect("a sunk operation");
        assert_eq!(
            (step.opcode, step.descr, step.args.len()),
            (op.opcode, op.descr.as_ref(), op.args.len())
        );
        step.args.iter().zip(&op.args).for_each(|(word, arg)| same(*word, *arg));
    }
    let expected: Vec<Kind> = args.iter().map(|arg| trace.kind(*arg)).collect();
    assert_eq!(kinds, expected[..kinds.len()]);
    assert_eq!(resume.inputs().kinds, expected);
}

#[test]
fn frames_are_read_as_they_were_written() {
    let mut guards = 0;
    // one for all: it must forget
    let mut encoder = Encoder::default();
    for seed in 1..400 {
        let trace = random_trace(seed);
        for (op, resume) in trace.ops.iter().zip(encoder.encode(&trace)) {
            assert_eq!(op.snapshot.is_some(), resume.is_some());
            if let Some(resume) = resume {
                check_guard(&trace, op, &resume);
                guards += 1;
            }
        }
    }
    assert!(guards > 1000, "{guards}");
}

/// Roots and derived inputs that mean nothing are written as well as others.
#[test]
fn facts_are_read_as_they_were_written() {
    for seed in 1..200 {
        let trace = random_trace(seed);
        let mut writer = Writer::default();
        writer.restart(&trace);
        let mut random = Random(seed);
        let mut value = || Ref::value(random.below(300));
        let roots = ROOTS.map(|kind| Root { value: value(), kind });
        let derived = REACHES.map(|reach| {
            let (value, root) = (value(), value());
            Derived { value, root, reach }
        });
        let words = NARROW.map(|word| InputWord { value: value(), word });
        let mut below = |distance| Below {
            value: random.below(300),
            distance,
            bound: random.below(300),
        };
        let below = [0, 1, -1, 200, i64::MAX, i64::MIN].map(&mut below);
        let given = Inputs {
            kinds: Vec::new(),
            roots: roots[..seed as usize % 4].to_vec(),
            derived: derived.to_vec(),
            words: words[..seed as usize % 8].to_vec(),
            below: below[..seed as usize % 7].to_vec(),
        };
        let mut starts = Vec::new();
        for op in &trace.ops {
            let write = |snapshot| writer.guard(&trace, snapshot, &given, &trace.exit(op));
            starts.extend(op.snapshot.map(write));
        }
        let pool = Rc::new(Pool {
            bytes: writer.bytes.into(),
            consts: writer.consts.into(),
            descrs: writer.descrs.into(),
        });
        for start in starts {
            let (pool, opcode, early) = (pool.clone(), Opcode::GuardTrue, false);
            let inputs = ResumeData {
                pool,
                start,
                opcode,
                early,
            }
            .inputs();
            let kinds = Vec::new();
            assert_eq!(Inputs { kinds, ..inputs }, given);
        }
    }
}

const GUARDS: &str = "# root p0 = exclusive
# descr S.data = field(offset=8, u64, frozen, pointee=owned)
[p0, i1, f2]
i3 = getfield_gc_i(p0, descr=S.data)
guard_true(i1) [j4@17: p0, i1, 5, -3 | j9@300: f2, i3, i1, GreenPtr(0x5500), ConstPtr(0x5500)]
guard_false(i3) [j4@17: p0, i1, 5, -3 | j9@302: i3, f2]
guard_false(i3) [j4@17: p0, i1, 5, -3 | j9@302: i3, f2]
finish() [j4@2: ]";

/// The resume data of each exit.
fn printed(text: &str) -> Vec<String> {
    let trace = parse(text).expect("parses");
    let resume = Encoder::default().encode(&trace);
    resume.iter().flatten().map(|resume| format!("{resume:?}")).collect()
}

#[test]
fn resume_data_prints_its_facts_and_frames() {
    let printed = printed(GUARDS);
    let facts = "e0 Exclusive e3 Below e0 [j4@17: e0 e1 0x5 0xfffffffffffffffd]";
    let swapped = facts.replace("e3", "e2");
    assert_eq!(
        printed,
        [
            format!("guard_true {facts} [j9@300: e2 e3 e1 green 0x5500 0x5500]"),
            format!("guard_false {swapped} [j9@302: e2 e3]"),
            format!("guard_false {swapped} [j9@302: e2 e3]"),
            "finish [j4@2:]".to_owned(),
        ]
    );
}

#[test]
fn resume_data_prints_its_program() {
    let text = "# descr S.a = field(offset=0, i64)
[p0, i1, i2]
sunk i3 = int_add(i1, -9)
sunk s4 = setfield_gc(p0, i2, descr=S.a)
guard_true(i1) [j4@17: p0, i3, 5 | j9@300: i3] {s4}
finish() [j4@2: i2]";
    let printed = printed(text);
    let program = "s0 = int_add e2 0xfffffffffffffff7 s1 = setfield_gc e0 e1";
    let guard = format!("guard_true [j4@17: e0 s0 0x5] [j9@300: s0] {program}");
    assert_eq!(printed[0], guard);
    assert_eq!(printed[1], "finish [j4@2: e0]");
}

#[test]
fn resume_data_prints_allocations() {
    let text = "# descr Pair = size(16)
# descr Pair.a = field(offset=0, i64)
# descr Pair.b = field(offset=8, ref)
# descr items = array(item_size=8, i64)
[i0, p1]
sunk p2 = new(descr=Pair)
sunk p3 = new_array(4, descr=items)
sunk i4 = cast_ptr_to_int(p3)
sunk s5 = setarrayitem_raw(i4, 2, i0, descr=items)
sunk s6 = setfield_gc(p2, p3, descr=Pair.b)
guard_true(i0) [j4@17: p1, p2, p2] {s5, s6}
finish() [j4@2: p2]";
    let printed = printed(text);
    let steps =
        "s0 = new s1 = new_array 0x4 s2 = cast_ptr_to_int s1 s3 = setarrayitem_raw s2 0x2 e1 s4 = setfield_gc s0 s1";
    let guard = format!("guard_true [j4@17: e0 s0 s0] {steps}");
    assert_eq!(printed[0], guard);
    assert_eq!(printed[1], "finish [j4@2: s0] s0 = new");
}

#[test]
fn what_guards_have_in_common_is_there_once() {
    let trace = parse(GUARDS).expect("parses");
    let resume: Vec<ResumeData> = Encoder::default().encode(&trace).into_iter().flatten().collect();
    assert_eq!(resume[1].start, resume[2].start);
    let outermost = |n: usize| resume[n].frames().last().expect("a frame").at_words;
    assert_eq!(outermost(0), outermost(1));
    // frame 4@17: 8 bytes; frame 9@300: 10, its record 9; frame 9@302: 7, its record 9; frame 4@2: 4, its record 6
    assert_eq!((resume[0].pool.bytes.len(), resume[0].pool.consts.len()), (56, 1));
}

/// Of what is below a bound the nearest and the farthest are told, as seen from a value that the exit has; behind a label
/// nothing is.
#[test]
fn bounds_checks_that_have_passed_are_told() {
    let text = "[i0, i1, i2]
i3 = int_add(i0, 5)
i4 = uint_lt(i3, i1)
guard_true(i4) [j4@17: i0, i1]
guard_true(i2) [j4@18: i0, i1]
i5 = int_add(i3, -7)
i6 = uint_lt(i5, i1)
guard_true(i6) [j4@19: i5, i1]
i7 = uint_lt(i0, i1)
guard_true(i7) [j4@20: i0, i1]
guard_true(i2) [j4@21: i1, i5]
guard_true(i2) [j4@22: i0]
label(i0, i1, i2, descr=TargetToken(1))
guard_true(i2) [j4@23: i0, i1]
finish() [j4@2: ]";
    let below: Vec<String> = printed(text)
        .into_iter()
        .map(|resume| resume.split(" [").next().expect("facts come first").to_string())
        .collect();
    assert_eq!(
        below,
        [
            "guard_true",
            "guard_true e0+5 < e1",
            "guard_true e0+7 < e1",
            "guard_true e0-2 < e1 e0+5 < e1",
            "guard_true e1+0 < e0 e1+7 < e0",
            "guard_true",
            "guard_true",
            "finish"
        ]
    );
}

/// The truth of a comparison that comes in through a label is one about other values.
#[test]
fn a_comparison_from_before_a_label_tells_nothing() {
    let text = "[i0, i1]
i2 = uint_lt(i0, i1)
label(i0, i1, i2, descr=TargetToken(1))
guard_true(i2) [j4@17: i0, i1]
guard_true(i0) [j4@18: i0, i1]
finish() [j4@2: ]";
    assert_eq!(printed(text)[1], "guard_true [j4@18: e0 e1]");
}
