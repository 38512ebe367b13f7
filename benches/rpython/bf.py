"""The brainfuck interpreter of this repository's default form, in RPython, as a peer for `bench`.

One op for each command character, a jump table, cells that wrap at 256, a tape of 30,000 cells whose ends are errors, end
of input leaves 0. Greens: pc, program, bracket map; reds: tape, streams. Translated by `rpython --opt=jit`.
"""
import os

from rpython.rlib.jit import JitDriver, elidable

CELLS = 30000


class TapeError(Exception):
    pass


class Tape(object):
    def __init__(self):
        self.cells = [0] * CELLS
        self.position = 0

    def right(self):
        self.position += 1
        if self.position == CELLS:
            raise TapeError()

    def left(self):
        if self.position == 0:
            raise TapeError()
        self.position -= 1

    def get(self):
        return self.cells[self.position]

    def set(self, value):
        self.cells[self.position] = value


class Streams(object):
    def __init__(self):
        self.out = []
        self.pending = ""
        self.at = 0

    def put(self, value):
        self.out.append(chr(value))
        if len(self.out) >= 4096:
            self.flush()

    def flush(self):
        text = "".join(self.out)
        self.out = []
        while text:
            written = os.write(1, text)
            text = text[written:]

    def get(self):
        if self.at == len(self.pending):
            self.flush()
            self.pending = os.read(0, 4096)
            self.at = 0
            if not self.pending:
                return 0
        self.at += 1
        return ord(self.pending[self.at - 1])


def location(pc, program, brackets):
    return "%d %s" % (pc, program[pc])


@elidable
def matching(brackets, pc):
    """The map never changes. A load from it would be heap knowledge of the trace, whose index RPython keeps in 16 bits:
    programs of more than 32767 commands would abort."""
    return brackets[pc]


driver = JitDriver(greens=["pc", "program", "brackets"], reds=["tape", "streams"], get_printable_location=location)


def parse(source):
    ops = []
    for char in source:
        if char in "<>+-.,[]":
            ops.append(char)
    brackets = [0] * len(ops)
    open_ones = []
    for pc in range(len(ops)):
        if ops[pc] == "[":
            open_ones.append(pc)
        elif ops[pc] == "]":
            if not open_ones:
                raise ValueError
            start = open_ones.pop()
            brackets[start] = pc
            brackets[pc] = start
    if open_ones:
        raise ValueError
    return "".join(ops), brackets


def interpret(program, brackets, streams):
    tape = Tape()
    pc = 0
    while pc < len(program):
        driver.jit_merge_point(pc=pc, program=program, brackets=brackets, tape=tape, streams=streams)
        op = program[pc]
        if op == ">":
            tape.right()
        elif op == "<":
            tape.left()
        elif op == "+":
            tape.set((tape.get() + 1) & 255)
        elif op == "-":
            tape.set((tape.get() - 1) & 255)
        elif op == ".":
            streams.put(tape.get())
        elif op == ",":
            tape.set(streams.get())
        elif op == "[":
            if tape.get() == 0:
                pc = matching(brackets, pc)
        elif op == "]":
            if tape.get() != 0:
                pc = matching(brackets, pc) + 1
                driver.can_enter_jit(pc=pc, program=program, brackets=brackets, tape=tape, streams=streams)
                continue
        pc += 1


def read_all(path):
    file = os.open(path, os.O_RDONLY, 0777)
    parts = []
    while True:
        part = os.read(file, 65536)
        if not part:
            break
        parts.append(part)
    os.close(file)
    return "".join(parts)


def main(argv):
    if len(argv) != 2:
        os.write(2, "usage: rpython-bf FILE\n")
        return 2
    streams = Streams()
    try:
        program, brackets = parse(read_all(argv[1]))
        interpret(program, brackets, streams)
    except ValueError:
        os.write(2, "brackets do not match\n")
        return 1
    except TapeError:
        streams.flush()
        os.write(2, "the pointer left the tape\n")
        return 1
    except OSError:
        os.write(2, "cannot read or write\n")
        return 1
    streams.flush()
    return 0


def target(driver, args):
    driver.exe_name = "rpython-bf"
    return main, None


def jitpolicy(driver):
    from rpython.jit.codewriter.policy import JitPolicy
    return JitPolicy()
