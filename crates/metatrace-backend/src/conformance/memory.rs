//! Loads, stores and addresses, on a buffer whose every byte is compared.

use super::Make;
use super::bench::Bench;
use crate::{BackendError, Forcing};
use metatrace_ir::{Opcode, Word};

const WORDS: &[(Word, &str)] = &[
    (Word::U8, "u8"),
    (Word::U16, "u16"),
    (Word::U32, "u32"),
    (Word::U64, "u64"),
    (Word::Length, "length"),
    (Word::I8, "i8"),
    (Word::I16, "i16"),
    (Word::I32, "i32"),
    (Word::I64, "i64"),
    (Word::Ref, "ref"),
    (Word::F64, "f64"),
];

/// Words whose low bytes look different at every width and sign.
const VALUES: &[u64] = &[
    0,
    1,
    u64::MAX,
    0x80,
    0x8000,
    0x8000_0000,
    0x8000_0000_0000_0000,
    0x7f7f_7f7f_7f7f_7f7f,
    0x0123_4567_89ab_cdef,
];

/// Bytes to load from and store to.
struct Buffer(Vec<u64>);

impl Buffer {
    fn new(bytes: usize) -> Buffer {
        let mut buffer = Buffer(vec![0; bytes.div_ceil(8)]);
        buffer.fill();
        buffer
    }

    fn fill(&mut self) {
        for (n, word) in self.0.iter_mut().enumerate() {
            *word = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn address(&mut self) -> u64 {
        self.0.as_mut_ptr() as u64
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn word_at(&self, at: usize, word: Word) -> u64 {
        let byte = |at: usize| self.0[at / 8].to_le_bytes()[at % 8];
        word.extend(u64::from_le_bytes(std::array::from_fn(|n| {
            if n < word.size() as usize { byte(at + n) } else { 0 }
        })))
    }
}

/// The text of a constant of the word's kind.
fn constant(word: Word, bits: u64) -> String {
    match word.kind().letter() {
        'i' => format!("{}", bits as i64),
        'p' => format!("ConstPtr({bits:#x})"),
        _ => format!("float({bits:#x})"),
    }
}

/// Checks a loop that stores `value` into the buffer at `at` and leaves what it loads back.
fn check_store(bench: &Bench, token: u32, args: &[u64], buffer: &mut Buffer, at: usize, word: Word, value: u64) {
    buffer.fill();
    let mut expected = buffer.bytes();
    expected[at..at + word.size() as usize].copy_from_slice(&value.to_le_bytes()[..word.size() as usize]);
    bench.expect(token, args, 2, &[word.extend(value)]);
    assert_eq!(buffer.bytes(), expected, "{word:?} at {at}");
}

pub(super) fn fields(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let mut buffer = Buffer::new(0x1100);
    let mut token = 0;
    for (word, name) in WORDS {
        for offset in [0, 3, 8, 127, 128, 0x1000] {
            let letter = word.kind().letter();
            let head = format!("# descr field = field(offset={offset}, {name})\n");
            let load = format!(
                "{letter}9 = getfield_gc_{}(p0, descr=field)",
                if letter == 'p' { 'r' } else { letter }
            );
            bench.compile(
                token,
                &format!("{head}[p0]\n{load}\nfinish(descr=<Guard0x1>) [{letter}9, p0]"),
            );
            let address = buffer.address();
            bench.expect(token, &[address], 1, &[buffer.word_at(offset, *word), address]);
            bench.compile(
                token + 1,
                &format!(
                    "{head}[p0, {letter}1]\nsetfield_gc(p0, {letter}1, descr=field)\n{load}\nfinish(descr=<Guard0x2>) [{letter}9]"
                ),
            );
            for value in VALUES {
                check_store(
                    &bench,
                    token + 1,
                    &[address, *value],
                    &mut buffer,
                    offset,
                    *word,
                    *value,
                );
            }
            token += 2;
        }
    }
    constant_base(&bench, &mut buffer, token);
}

/// Fields of an object at a known address.
fn constant_base(bench: &Bench, buffer: &mut Buffer, mut token: u32) {
    let address = buffer.address();
    for (word, name) in WORDS {
        let letter = word.kind().letter();
        let value = 0xfedc_ba98_7654_3210;
        bench.compile(
            token,
            &format!(
                "# descr field = field(offset=40, {name})\n[]\n\
                 setfield_gc(ConstPtr({address:#x}), {}, descr=field)\n\
                 {letter}9 = getfield_gc_{}(ConstPtr({address:#x}), descr=field)\n\
                 finish(descr=<Guard0x2>) [{letter}9]",
                constant(*word, value),
                if letter == 'p' { 'r' } else { letter },
            ),
        );
        check_store(bench, token, &[], buffer, 40, *word, value);
        token += 1;
    }
}

/// Where the operands of an array operation come from.
#[derive(Clone, Copy)]
struct Operands {
    constant_base: bool,
    constant_index: bool,
    constant_value: bool,
}

pub(super) fn items(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let mut buffer = Buffer::new(0xa00);
    let mut token = 0;
    for size in [
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 18, 20, 24, 32, 36, 40, 48, 64, 72, 80, 100, 144,
    ] {
        let fitting = WORDS.iter().filter(|(word, _)| word.size() <= size);
        for (n, (word, name)) in fitting.enumerate() {
            let offset = if n % 2 == 0 { 0 } else { size - word.size() };
            let descr = format!("# descr item = array(item_size={size}, offset={offset}, {name})\n");
            for choice in 0..8 {
                let operands = Operands {
                    constant_base: choice & 1 != 0,
                    constant_index: choice & 2 != 0,
                    constant_value: choice & 4 != 0,
                };
                let layout = Layout {
                    descr: &descr,
                    size,
                    offset,
                    word: *word,
                };
                if operands.constant_index {
                    for index in [9, -3] {
                        check_items(&bench, token, &mut buffer, &layout, operands, &[index]);
                        token += 1;
                    }
                } else {
                    check_items(&bench, token, &mut buffer, &layout, operands, &[0, 1, 9, -3]);
                    token += 1;
                }
            }
        }
    }
}

struct Layout<'a> {
    descr: &'a str,
    size: u32,
    offset: u32,
    word: Word,
}

/// Stores and loads items; the first of the indices is the constant one.
fn check_items(
    bench: &Bench,
    token: u32,
    buffer: &mut Buffer,
    layout: &Layout<'_>,
    operands: Operands,
    indices: &[i64],
) {
    let word = layout.word;
    let value = VALUES[token as usize % VALUES.len()];
    let base = buffer.address() + 0x400;
    let letter = word.kind().letter();
    let pick = |is_constant: bool, constant: String, name: &str| if is_constant { constant } else { name.to_string() };
    let (b, i, v) = (
        pick(operands.constant_base, base.to_string(), "i0"),
        pick(operands.constant_index, indices[0].to_string(), "i1"),
        pick(operands.constant_value, constant(word, value), &format!("{letter}2")),
    );
    bench.compile(
        token,
        &format!(
            "{}[i0, i1, {letter}2]\n\
             setarrayitem_raw({b}, {i}, {v}, descr=item)\n\
             {letter}9 = getarrayitem_raw_{}({b}, {i}, descr=item)\n\
             finish(descr=<Guard0x2>) [{letter}9]",
            layout.descr,
            if letter == 'p' { 'r' } else { letter },
        ),
    );
    for index in indices {
        let at = (0x400 + index * i64::from(layout.size) + i64::from(layout.offset)) as usize;
        check_store(bench, token, &[base, *index as u64, value], buffer, at, word, value);
    }
}

/// Words narrower than a register, with more values than registers around.
pub(super) fn narrow_values(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let mut buffer = Buffer::new(0x100);
    for (token, (word, name)) in WORDS.iter().filter(|(word, _)| word.kind().letter() == 'i').enumerate() {
        let names: Vec<String> = (10..34).map(|n| format!("i{n}")).collect();
        let mut text = format!("# descr item = array(item_size=8, {name})\n[i0, i1]\n");
        for (n, value) in names.iter().enumerate() {
            text += &format!("{value} = getarrayitem_raw_i(i0, {n}, descr=item)\n");
        }
        // in another order than they were loaded, so that what was spilled is stored from its slot
        for (n, value) in names.iter().enumerate() {
            text += &format!("i{} = int_add({value}, i1)\n", n + 40);
            text += &format!("setarrayitem_raw(i0, {}, i{}, descr=item)\n", 23 - n, n + 40);
        }
        text += &format!("finish(descr=<Guard0x1>) [{}]", names.join(", "));
        bench.compile(token as u32, &text);
        buffer.fill();
        let loaded: Vec<u64> = (0..24).map(|n| buffer.word_at(8 * n, *word)).collect();
        let mut expected = buffer.bytes();
        for (n, value) in loaded.iter().enumerate() {
            let size = word.size() as usize;
            let at = 8 * (23 - n);
            expected[at..at + size].copy_from_slice(&value.wrapping_add(77).to_le_bytes()[..size]);
        }
        bench.expect(token as u32, &[buffer.address(), 77], 1, &loaded);
        assert_eq!(buffer.bytes(), expected, "{word:?}");
    }
}

pub(super) fn addresses(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let mut token = 0;
    for offset in [0u32, 8, 4096, 0x7fff_ffff] {
        let head = format!("# descr field = field(offset={offset}, i64)\n[p0]\n");
        bench.compile(
            token,
            &format!("{head}p1 = ptr_field(p0, descr=field)\nfinish(descr=<Guard0x1>) [p1, p0]"),
        );
        bench.expect(token, &[0x1_0000], 1, &[0x1_0000 + u64::from(offset), 0x1_0000]);
        bench.compile(
            token + 1,
            &format!("{head}p1 = ptr_field(p0, descr=field)\nfinish(descr=<Guard0x1>) [p1]"),
        );
        bench.expect(token + 1, &[0x1_0000], 1, &[0x1_0000 + u64::from(offset)]);
        token += 2;
    }
    for size in [1u64, 2, 3, 4, 5, 8, 9, 12, 16, 24, 40, 72, 100, 1 << 20] {
        for offset in [0, size - 1] {
            let head = format!("# descr item = array(item_size={size}, offset={offset}, u8)\n[i0, i1]\n");
            for (operands, base, index) in [
                ("i0, i1", 0x1000, 5u64),
                ("i0, 7", 0x1000, 7),
                ("0x123456789abc, i1", 0x1234_5678_9abc, 3),
                ("16, 2", 16, 2),
                ("i0, -1", 0x2000, u64::MAX),
                ("i0, 0x100000000", 0x2000, 1 << 32),
            ] {
                bench.compile(
                    token,
                    &format!("{head}p1 = ptr_item({operands}, descr=item)\nfinish(descr=<Guard0x1>) [p1]"),
                );
                bench.expect(
                    token,
                    &[base, index],
                    1,
                    &[base.wrapping_add(index.wrapping_mul(size)).wrapping_add(offset)],
                );
                token += 1;
            }
        }
    }
}

pub(super) fn stores_of_constants(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let mut buffer = Buffer::new(0x100);
    let mut token = 0;
    for (word, name) in WORDS {
        for value in VALUES
            .iter()
            .chain(&[0x7fff_ffff, 0xffff_ffff, -2i64 as u64, 0xffff_ffff_8000_0000])
        {
            let letter = word.kind().letter();
            bench.compile(
                token,
                &format!(
                    "# descr field = field(offset=24, {name})\n[p0]\nsetfield_gc(p0, {}, descr=field)\n\
                     {letter}9 = getfield_gc_{}(p0, descr=field)\nfinish(descr=<Guard0x2>) [{letter}9]",
                    constant(*word, *value),
                    if letter == 'p' { 'r' } else { letter },
                ),
            );
            let address = buffer.address();
            check_store(&bench, token, &[address], &mut buffer, 24, *word, *value);
            token += 1;
        }
    }
}

/// Allocations, where the backend makes them: zeroed, distinct, aligned.
pub(super) fn allocations(make: &mut Make<'_>) {
    let bench = Bench::new(make(Forcing::Off));
    let trace = super::bench::parse(
        "# descr Pair = size(24, align=16)
         # descr Object = size(16, vtable=0x1234)
         # descr Object.vtable = field(offset=0, u64)
         # descr Pair.x = field(offset=16, i64)
         # descr bytes = array(item_size=1, u8)
         # descr bytes.first = field(offset=0, u8)
         [i0]
         label(i0, descr=TargetToken(1))
         p1 = new(descr=Pair)
         p2 = new(descr=Pair)
         p3 = new_with_vtable(descr=Object)
         p4 = new_array(i0, descr=bytes)
         setfield_gc(p1, 77, descr=Pair.x)
         i5 = getfield_gc_i(p1, descr=Pair.x)
         i6 = getfield_gc_i(p2, descr=Pair.x)
         i7 = getfield_gc_i(p3, descr=Object.vtable)
         i8 = getfield_gc_i(p4, descr=bytes.first)
         finish(descr=<Guard0x1>) [i5, i6, i7, i8, p1, p2]",
    );
    match bench.try_compile(1, &trace) {
        Ok(_) => {}
        Err(BackendError::Unsupported(Opcode::New | Opcode::NewWithVtable | Opcode::NewArray)) => return,
        Err(error) => panic!("{error}"),
    }
    let left = bench.run(1, &[5000]);
    assert_eq!(left.values[..4], [77, 0, 0x1234, 0]);
    let (p1, p2) = (left.values[4], left.values[5]);
    assert!(p1 % 16 == 0 && p2 % 16 == 0 && p1.abs_diff(p2) >= 24, "{p1:#x} {p2:#x}");
}
