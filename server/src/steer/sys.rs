//! The socket options that no library of ours has.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
};

use super::programs::Instruction;

/// linux/socket.h has it for all architectures that we build for; not every libc does.
const SO_DETACH_REUSEPORT_BPF: libc::c_int = 68;

/// Has `program` choose for the whole group that the socket is in. It takes the place of another one, outlives the
/// socket, and goes with the group's last socket.
pub(super) fn steer_group(socket: impl AsFd, program: &[Instruction]) -> io::Result<()> {
    attach(socket, libc::SO_ATTACH_REUSEPORT_CBPF, program)
}

/// Has the kernel's hash choose again.
pub(super) fn leave_group_to_the_kernel(socket: impl AsFd) -> io::Result<()> {
    // The option has no value, but the kernel wants to read an int.
    match set(socket, SO_DETACH_REUSEPORT_BPF, &0_i32) {
        // There was no program.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result,
    }
}

/// Has `program` say which packets this one socket takes.
pub(super) fn filter(socket: impl AsFd, program: &[Instruction]) -> io::Result<()> {
    attach(socket, libc::SO_ATTACH_FILTER, program)
}

/// Puts a mark on all packets of the socket. Needs CAP_NET_ADMIN.
pub(super) fn mark(socket: impl AsFd, mark: u32) -> io::Result<()> {
    set(socket, libc::SO_MARK, &mark)
}

fn attach(socket: impl AsFd, option: libc::c_int, program: &[Instruction]) -> io::Result<()> {
    let mut code: Vec<libc::sock_filter> = program
        .iter()
        .map(|it| libc::sock_filter {
            code: it.code,
            jt: it.if_true,
            jf: it.if_false,
            k: it.k,
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(code.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: code.as_mut_ptr(),
    };
    // `code` lives until the kernel has copied it.
    set(socket, option, &program)
}

#[allow(
    unsafe_code,
    reason = "rustix and tokio have no safe form of these options"
)]
fn set<T>(socket: impl AsFd, option: libc::c_int, value: &T) -> io::Result<()> {
    let size =
        libc::socklen_t::try_from(size_of::<T>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is open as long as it is borrowed. The kernel reads `size` bytes at `value`, and of a
    // `sock_fprog` also `len` instructions at `filter`, which `attach` keeps; it writes nothing and keeps no pointer.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            std::ptr::from_ref(value).cast(),
            size,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
