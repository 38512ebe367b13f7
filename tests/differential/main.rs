//! One semantics, many executions: every program prints the same in every mode, and the modes really are what they say:
//! traces are compiled, code is entered, guards are forced.
#![forbid(unsafe_code)]

use brainfuck::Form;
use metatrace::Stats;
use metatrace_tests::{Guest, large, own_brainfuck, own_stackvm, small};

/// Runs the guest in each mode: all observe the same as without the JIT. Returns what the driver did in each.
fn same(guest: &Guest, modes: &[&str]) -> Vec<Stats> {
    let expected = guest.run("off");
    assert_eq!(expected.stats.loops, 0);
    let check = |mode: &&str| {
        let run = guest.run(mode);
        assert_eq!(run.observed, expected.observed, "{guest:?} with {mode}");
        run.stats
    };
    modes.iter().map(check).collect()
}

/// As [`same`], and in each mode something was compiled and entered.
fn same_compiled(guest: &Guest, modes: &[&str]) -> Vec<Stats> {
    let all = same(guest, modes);
    for (stats, mode) in all.iter().zip(modes) {
        assert!(stats.loops > 0 && stats.entries > 0, "{guest:?} with {mode}: {stats:?}");
    }
    all
}

#[test]
fn parameters_change_nothing_but_speed() {
    for guest in small() {
        same(&guest, &["strict=1", "threshold=7,trace_limit=300"]);
        let hot = [
            "threshold=1,strict=1",
            "threshold=3,enable_opts=none,trace_eagerness=2,strict=1",
        ];
        same_compiled(&guest, &hot);
    }
}

#[test]
fn the_reference_executor_agrees() {
    for guest in small() {
        let modes = [
            "threshold=1,backend=reference,strict=1",
            "threshold=3,trace_eagerness=3,backend=reference",
        ];
        same_compiled(&guest, &modes);
    }
}

/// Each trace that is compiled does what was recorded, in simulated worlds.
#[test]
fn optimised_traces_do_what_was_recorded() {
    for guest in small() {
        same_compiled(&guest, &["threshold=3,trace_eagerness=3,check=20,strict=1"]);
    }
}

#[test]
fn forced_exits_change_nothing() {
    for guest in small() {
        let mut exits = 0;
        for seed in 1..5 {
            let machine = format!("threshold=2,trace_eagerness=3,demotion=0,force_exits=13,seed={seed}");
            let reference = format!("{machine},backend=reference");
            exits += same(&guest, &[&machine, &reference])
                .iter()
                .map(|stats| stats.exits)
                .sum::<u64>();
        }
        assert!(exits > 0, "{guest:?}");
    }
}

#[test]
fn each_guard_in_turn_may_fail() {
    for guest in [own_brainfuck("hello", Form::Plain), own_stackvm("count", &[50])] {
        let params = "threshold=2,trace_eagerness=3,demotion=0";
        let unforced = guest.run(params).stats;
        // Guards are numbered through; a trace that ends in `finish` numbers that, too.
        let guards = unforced.opt_guards + unforced.loops + unforced.bridges;
        let mut forced = 0;
        for guard in 0..guards {
            let machine = format!("{params},force_guard={guard}");
            let reference = format!("{machine},backend=reference");
            let all = same(&guest, &[&machine, &reference]);
            forced += all.iter().filter(|stats| stats.exits != unforced.exits).count();
        }
        assert!(forced > 0, "no guard of {guest:?} was forced to fail");
    }
}

/// Loops and bridges of each program, with default parameters but a lower threshold: a JIT that compiles nothing prints the
/// right answer too.
#[test]
fn loops_are_compiled_entered_and_never_given_up() {
    let expected = [
        (own_brainfuck("primes", Form::Plain), (14, 21)),
        (own_brainfuck("primes", Form::Optimized), (2, 8)),
        (own_stackvm("sum", &[100_000]), (1, 0)),
        (own_stackvm("count", &[100_000]), (1, 1)),
        (own_stackvm("dot", &[20_000]), (2, 1)),
        (own_stackvm("pi", &[20_000]), (1, 0)),
        (own_stackvm("sieve", &[20_000]), (2, 4)),
    ];
    let mut others = Vec::new();
    for (guest, compiled) in expected {
        let stats = guest.run("strict=1,demotion=0,threshold=101,trace_eagerness=20").stats;
        if (stats.loops, stats.bridges) != compiled {
            others.push(format!("{guest:?}: {} loops, {} bridges", stats.loops, stats.bridges));
        }
        assert!(stats.entries > 0, "{guest:?}: {stats:?}");
        assert_eq!(stats.total_aborts(), 0, "{guest:?}: {stats:?}");
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

#[test]
fn a_loop_with_a_branch_stays_in_machine_code() {
    let stats = own_stackvm("count", &[1_000_000]).run("strict=1,demotion=0").stats;
    assert_eq!((stats.loops, stats.bridges), (1, 1), "{stats:?}");
    assert!(stats.exits < 1000, "{stats:?}");
}

/// Without bridges every loop is left after some ten nanoseconds, which costs hundreds.
#[test]
fn a_loop_whose_exits_cost_too_much_is_entered_less_and_less() {
    let guest = own_brainfuck("primes", Form::Plain);
    let stats = same(&guest, &["threshold=10,trace_eagerness=4000000000"]).remove(0);
    assert!(stats.demotions > 0, "{stats:?}");
    let all_entered = guest
        .run("threshold=10,trace_eagerness=4000000000,backend=reference")
        .stats;
    assert!(stats.entries < all_entered.entries, "{stats:?} beside {all_entered:?}");
}

#[test]
#[ignore = "minutes, in a release build: cargo test --release -p metatrace-tests -- --ignored"]
fn large_programs_print_the_same_with_all_parameters() {
    for guest in large() {
        same(&guest, &["default", "threshold=1", "threshold=7,trace_limit=300"]);
    }
}
