//! Writes a small log with every section that PyPy's log tools join: a loop, a bridge out of one of its guards, their code
//! and how often each was entered. `PYPYLOG=:FILE cargo run -p metatrace-log --example sample_log`.

use metatrace_ir::text::{Offsets, parse};
use metatrace_ir::{TargetToken, Trace};
use metatrace_log::{Counted, Log, Summary, TraceKind, address_text, counts_text, dump_text, trace_text};
use std::error::Error;

const LOOP: &str = "\
# descr pointers = array(item_size=8, ref)
# descr Frame.stack = field(offset=16, ref, frozen, pointee=owned)
# descr values = array(item_size=8, i64)
# descr put = call(args=pi, effect=arguments, can_panic)
# descr slot = size(16)
[p0, i1, i2]
label(p0, i1, i2, descr=TargetToken(1))
debug_merge_point(0, 0, 'main;a, b.tl:1-2~LOAD')
i3 = int_floordiv(i1, 3)
i4 = uint_lt(i3, 10)
guard_true(i4, descr=<Guard0x2a>) [j0@4: p0, i1 | j1@2: i2, 7]
p5 = getfield_gc_r(p0, descr=Frame.stack)
p6 = getarrayitem_raw_r(i2, i1, descr=pointers)
p7 = ptr_field(p0, descr=Frame.stack)
p8 = alloca(descr=slot)
i9 = getarrayitem_raw_i(i2, i1, descr=values)
call_n(4096, p5, i9, descr=put)
guard_no_exception(descr=<Guard0x2b>) [p0, i1]
guard_nonnull(p6, descr=<Guard0x2c>) [p0, p7, p8]
guard_always_fails(descr=<Guard0x2d>) []
jump(p0, i1, i2, descr=TargetToken(1))
";

const BRIDGE: &str = "\
[p0, i1, i2]
debug_merge_point(1, 1, 'helper;a.tl:7-9~RET')
f3 = cast_int_to_float(i1)
f4 = float_mul(f3, float(0x7ff8000000000000))
finish(descr=<Guard0x2e>) [p0, f4, i2]
";

fn main() -> Result<(), Box<dyn Error>> {
    let log = Log::from_env()?.ok_or("PYPYLOG is not set")?;
    let looping = parse(LOOP)?;
    let bridge = parse(BRIDGE)?;
    let location = "main;a, b.tl:1-2~LOAD".to_string();
    write_trace(&log, &looping, &TraceKind::Loop(0, location), 0x7f00_0000_1000);
    write_trace(&log, &bridge, &TraceKind::Bridge(0x2a), 0x7f00_0000_2000);
    let counts = [
        (Counted::Entry(0), 1),
        (Counted::Label(TargetToken(1)), 1000),
        (Counted::Bridge(0x2a), 200),
    ];
    log.write_section("jit-backend-counts", || counts_text(counts));
    log.write_section("jit-summary", Summary::default);
    Ok(log.finish()?)
}

fn write_trace(log: &Log, trace: &Trace, kind: &TraceKind, address: u64) {
    let _tracing = log.section("jit-tracing");
    log.write_section("jit-log-noopt", || trace_text(trace, &TraceKind::Recorded, None));
    // one `nop` for each operation
    let code = vec![0x90; trace.ops.len()];
    let offsets: Vec<u32> = (0..trace.ops.len() as u32).collect();
    {
        let _backend = log.section("jit-backend");
        log.write_section("jit-backend-dump", || dump_text(address, &code));
        log.write_section("jit-backend-addr", || address_text(kind, address, code.len()));
    }
    let category = match kind {
        TraceKind::Bridge(_) => "jit-log-opt-bridge",
        TraceKind::Loop(..) | TraceKind::Recorded => "jit-log-opt-loop",
    };
    let offsets = Offsets {
        ops: &offsets,
        end: code.len() as u32,
    };
    log.write_section(category, || trace_text(trace, kind, Some(offsets)));
}
