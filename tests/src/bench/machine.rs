//! What processes take of the machine, as Linux tells it.

use std::collections::HashMap;
use std::fs;

use super::NotMeasured;

/// Linux counts processor time in these, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// 1,000,000 bytes.
const MEGABYTE: f64 = 1e6;

/// Processor seconds that these used since they began.
pub(super) fn cpu_seconds(processes: &[u32]) -> Result<f64, NotMeasured> {
    let mut ticks = 0;
    for process in processes {
        ticks += used(*process)?;
    }
    Ok(f64::from(ticks) / TICKS_PER_SECOND)
}

/// Megabytes of memory that a process holds now.
pub(super) fn resident_mb(process: u32) -> Result<f64, NotMeasured> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u32>().ok());
    let kibibytes =
        kibibytes.ok_or_else(|| NotMeasured("the system does not say how much memory it takes".to_owned()))?;
    Ok(f64::from(kibibytes) * 1024.0 / MEGABYTE)
}

/// The process that listens at a port, with its children; none if it is another user's or another machine's.
pub(super) fn listening_at(address: &str) -> Vec<u32> {
    let port = address
        .trim_end_matches('/')
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok());
    let Some(listener) = port.and_then(listener) else {
        return vec![];
    };
    let children = parents().into_iter().filter(|(_, parent)| *parent == listener);
    std::iter::once(listener)
        .chain(children.map(|(child, _)| child))
        .collect()
}

fn listener(port: u16) -> Option<u32> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .filter_map(|table| inode(&table, port))
        .collect();
    processes().find(|process| {
        let links = fs::read_dir(format!("/proc/{process}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        let mut targets = links.filter_map(|link| fs::read_link(link.path()).ok());
        targets.any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
    })
}

/// Of the socket that listens there (state 0A), as a file descriptor's link names it.
fn inode(table: &str, port: u16) -> Option<String> {
    let ending = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1)?.ends_with(&ending) && *fields.get(3)? == "0A").then(|| format!("socket:[{}]", fields[9]))
    })
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parents() -> HashMap<u32, u32> {
    let parent = |process: u32| Some((process, stat(process)?.get(1)?.parse().ok()?));
    processes().filter_map(parent).collect()
}

/// Ticks in user and in kernel mode: the 14th and 15th field of `/proc/…/stat`.
fn used(process: u32) -> Result<u32, NotMeasured> {
    let fields = stat(process).unwrap_or_default();
    let field = |place: usize| fields.get(place).and_then(|text| text.parse::<u32>().ok());
    let (Some(user), Some(kernel)) = (field(11), field(12)) else {
        return Err(NotMeasured(format!(
            "the system does not say what process {process} used"
        )));
    };
    Ok(user + kernel)
}

/// The fields from the third on. The second, the program's name, is in parentheses and may hold anything.
fn stat(process: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(stat.rsplit(") ").next()?.split(' ').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        assert_eq!(listening_at(&address).first(), Some(&std::process::id()));
        drop(listener);
        assert!(listening_at(&address).is_empty());
    }

    #[test]
    fn this_process_takes_something() {
        let own = std::process::id();
        assert!(resident_mb(own).unwrap() > 1.0);
        assert!(cpu_seconds(&[own, own]).unwrap() >= cpu_seconds(&[own]).unwrap());
        assert!(cpu_seconds(&[u32::MAX]).is_err());
    }
}
