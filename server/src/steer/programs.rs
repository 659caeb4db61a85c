//! The classic BPF programs that say which socket of a SO_REUSEPORT group gets a new connection.
//!
//! The kernel runs the group's program for each SYN. What it returns is an index into the group: with two listeners, 0
//! is the older and 1 the younger. An index that there is not has the kernel choose by its hash, so that a single
//! listener gets everything whatever the program says.

/// One instruction, as `struct sock_filter` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    /// What is done.
    pub(super) code: u16,
    /// How many instructions are skipped when a comparison is true.
    pub(super) if_true: u8,
    /// As `if_true`, when it is false.
    pub(super) if_false: u8,
    /// What it is done with.
    pub(super) k: u32,
}

// The codes, as linux/bpf_common.h composes them.
const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS: the accumulator becomes the 4 bytes at k, in host order.
const LOAD_BYTE: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS: the accumulator becomes the byte at k.
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Offsets from here on count from the network header (SKF_NET_OFF, -0x10_0000).
const NETWORK_HEADER: u32 = 0xfff0_0000;

/// Loads the packet's mark instead of its bytes (SKF_AD_OFF + SKF_AD_MARK).
const MARK: u32 = 0xffff_f014;

/// Where an IPv6 header has the destination.
const IPV6_DESTINATION: u32 = 24;

/// Connections to [::1] to the younger, all others to the older.
pub(super) fn split_by_loopback() -> Vec<Instruction> {
    by_loopback(1, 0)
}

/// Connections to [::1] to the older, all others to the younger.
pub(super) fn swapped_by_loopback() -> Vec<Instruction> {
    by_loopback(0, 1)
}

fn by_loopback(these: u32, others: u32) -> Vec<Instruction> {
    let word = |index: u32| load_word(NETWORK_HEADER + IPV6_DESTINATION + 4 * index);
    vec![
        /* 0 */
        load_byte(NETWORK_HEADER), // The IP version is the high half of the first byte.
        /* 1 */ and(0xf0),
        /* 2 */ jump_if_equal(0x60, 0, 9), // Not version 6: to 12.
        /* 3 */ word(0), // The destination, word by word: 0, 0, 0, 1 is ::1.
        /* 4 */ jump_if_equal(0, 0, 7),
        /* 5 */ word(1),
        /* 6 */ jump_if_equal(0, 0, 5),
        /* 7 */ word(2),
        /* 8 */ jump_if_equal(0, 0, 3),
        /* 9 */ word(3),
        /* 10 */ jump_if_equal(1, 0, 1),
        /* 11 */ give(these),
        /* 12 */ give(others),
    ]
}

/// Connections whose packets have this mark to the younger, all others to the older.
pub(super) fn split_by_mark(mark: u32) -> Vec<Instruction> {
    by_mark(mark, 1, 0)
}

/// Connections whose packets have this mark to the older, all others to the younger.
pub(super) fn swapped_by_mark(mark: u32) -> Vec<Instruction> {
    by_mark(mark, 0, 1)
}

fn by_mark(mark: u32, these: u32, others: u32) -> Vec<Instruction> {
    vec![
        /* 0 */ load_word(MARK),
        /* 1 */ jump_if_equal(mark, 0, 1), // Another: to 3.
        /* 2 */ give(these),
        /* 3 */ give(others),
    ]
}

/// All connections to the younger.
pub(super) fn younger() -> Vec<Instruction> {
    vec![give(1)]
}

/// Not for a group but for one socket: it takes no packet at all. A SYN that comes to it is dropped, and sent again by
/// its client one second later.
pub(super) fn deaf() -> Vec<Instruction> {
    vec![give(0)]
}

const fn instruction(code: u16, if_true: u8, if_false: u8, k: u32) -> Instruction {
    Instruction {
        code,
        if_true,
        if_false,
        k,
    }
}

const fn load_byte(offset: u32) -> Instruction {
    instruction(LOAD_BYTE, 0, 0, offset)
}

const fn load_word(offset: u32) -> Instruction {
    instruction(LOAD_WORD, 0, 0, offset)
}

const fn and(bits: u32) -> Instruction {
    instruction(AND, 0, 0, bits)
}

const fn jump_if_equal(value: u32, if_true: u8, if_false: u8) -> Instruction {
    instruction(JUMP_IF_EQUAL, if_true, if_false, value)
}

const fn give(value: u32) -> Instruction {
    instruction(RETURN, 0, 0, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel does with a program, of the instructions that there are here.
    fn run(program: &[Instruction], packet: &[u8], mark: u32) -> u32 {
        let mut accumulator = 0;
        let mut next = 0;
        loop {
            let Instruction {
                code,
                if_true,
                if_false,
                k,
            } = program[next];
            next += 1;
            let bytes = |length: usize| {
                let from = usize::try_from(k - NETWORK_HEADER).unwrap();
                &packet[from..from + length]
            };
            match code {
                LOAD_WORD if k == MARK => accumulator = mark,
                LOAD_WORD => accumulator = u32::from_be_bytes(bytes(4).try_into().unwrap()),
                LOAD_BYTE => accumulator = u32::from(bytes(1)[0]),
                AND => accumulator &= k,
                JUMP_IF_EQUAL => {
                    next += usize::from(if accumulator == k { if_true } else { if_false });
                }
                RETURN => return k,
                _ => panic!("no such instruction: {code:#x}"),
            }
        }
    }

    /// An IPv6 header with this destination, or an IPv4 header with the last four bytes of it.
    fn packet(version: u8, destination: &str) -> Vec<u8> {
        let destination: std::net::Ipv6Addr = destination.parse().unwrap();
        // The low half of the first byte is a header's length, or the traffic class: anything.
        let mut header = vec![version << 4 | 0x5; 24];
        header.extend(destination.octets());
        header
    }

    #[test]
    fn the_loopback_address_of_ipv6_is_the_younger_ones() {
        let program = split_by_loopback();
        assert_eq!(run(&program, &packet(6, "::1"), 0), 1);
        for other in [
            "::2",
            "::",
            "::ffff:127.0.0.1",
            "0:0:1::1",
            "1::1",
            "0:1::1",
            "fe80::1",
            "2001:db8::1",
        ] {
            assert_eq!(run(&program, &packet(6, other), 0), 0, "{other}");
        }
        // It has the same bytes where an IPv6 packet has its destination.
        assert_eq!(run(&program, &packet(4, "::1"), 0), 0);
        // All that IPv4 has at least.
        assert_eq!(run(&program, &[0x45; 20], 0), 0);
    }

    #[test]
    fn our_mark_is_the_younger_ones() {
        let program = split_by_mark(0x305d);
        assert_eq!(run(&program, &[], 0x305d), 1);
        for other in [0, 1, 0x305c, 0x305d_0000, u32::MAX] {
            assert_eq!(run(&program, &[], other), 0, "{other:#x}");
        }
    }

    #[test]
    fn swapped_is_the_other_way_round() {
        let program = swapped_by_loopback();
        assert_eq!(run(&program, &packet(6, "::1"), 0), 0);
        assert_eq!(run(&program, &packet(6, "::2"), 0), 1);
        assert_eq!(run(&program, &packet(4, "::1"), 0), 1);
        let program = swapped_by_mark(0x305d);
        assert_eq!(run(&program, &[], 0x305d), 0);
        assert_eq!(run(&program, &[], 0), 1);
    }

    #[test]
    fn the_rest_does_not_look() {
        assert_eq!(run(&younger(), &[], 0), 1);
        assert_eq!(run(&deaf(), &[], 0), 0);
    }

    #[test]
    fn the_codes_are_the_kernels() {
        for (ours, kernels) in [
            (LOAD_WORD, libc::BPF_LD | libc::BPF_W | libc::BPF_ABS),
            (LOAD_BYTE, libc::BPF_LD | libc::BPF_B | libc::BPF_ABS),
            (AND, libc::BPF_ALU | libc::BPF_AND | libc::BPF_K),
            (JUMP_IF_EQUAL, libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K),
            (RETURN, libc::BPF_RET | libc::BPF_K),
        ] {
            assert_eq!(u32::from(ours), kernels);
        }
        assert_eq!(NETWORK_HEADER.cast_signed(), libc::SKF_NET_OFF);
        assert_eq!(MARK.cast_signed(), libc::SKF_AD_OFF + libc::SKF_AD_MARK);
    }
}
