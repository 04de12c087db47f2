//! The NBD front end against the clients that hosts really use: qemu, libnbd and fio.
//!
//! A test whose tool is not installed says so and passes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/nbd_memory.rs"]
#[expect(dead_code, reason = "shared: each suite uses a part")]
mod nbd_memory;

use nbd_memory::{Catalog, MemoryExport, Serving};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tokio::process::Command;
use trefoil_daemon::nbd::NbdLimits;

const MIB: usize = 1 << 20;

/// Whether a tool is there; says so when it is not.
fn has(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(tool).exists());
    if !found {
        println!("skipped: {tool} is not installed");
    }
    found
}

/// Runs a tool to its end, within a minute: its standard output.
async fn run(tool: &str, arguments: &[&str]) -> String {
    let command =
        Command::new(tool).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(60), command).await;
    let output = output.unwrap_or_else(|_| panic!("{tool} hangs")).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {arguments:?}: {text}{errors}");
    text
}

async fn volume(size: usize) -> (Arc<MemoryExport>, Serving, String) {
    let export = MemoryExport::new(size);
    let serving = Serving::start(Catalog::one("vol", &export)).await;
    let url = format!("nbd://{}/vol", serving.address);
    (export, serving, url)
}

/// A sparse image with data here and there.
fn image(path: &Path, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    for (start, length) in [(0, 70_000), (3 * MIB, MIB), (size - 5000, 5000)] {
        for (n, byte) in bytes[start..start + length].iter_mut().enumerate() {
            *byte = (n * 31 + start / 4096 + n / 251) as u8 | 1;
        }
    }
    std::fs::write(path, &bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qemu_img_copies_an_image_in_and_out_unchanged() {
    if !has("qemu-img") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (original, copy) = (directory.path().join("in.raw"), directory.path().join("out.raw"));
    let bytes = image(&original, 16 * MIB);
    let (export, _serving, url) = volume(16 * MIB).await;
    let (original, copied) = (original.to_str().unwrap(), copy.to_str().unwrap());
    run("qemu-img", &["convert", "-n", "-f", "raw", "-O", "raw", original, &url]).await;
    assert!(*export.bytes.lock() == bytes);
    assert!(export.flushes.load(SeqCst) > 0, "qemu-img flushes at the end");
    run("qemu-img", &["convert", "-f", "raw", "-O", "raw", &url, copied]).await;
    assert!(std::fs::read(&copy).unwrap() == bytes);
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", original, &url]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qemu_img_sees_the_size_and_what_is_allocated() {
    if !has("qemu-img") {
        return;
    }
    let (export, serving, url) = volume(8 * MIB).await;
    let (host, port) = serving.address.split_once(':').unwrap();
    let options = format!("driver=nbd,host={host},port={port},export=vol");
    let info = run("qemu-img", &["info", "--output=json", "--image-opts", &options]).await;
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["virtual-size"], 8 * MIB as u64);
    write(&*export, 2 * MIB as u64, MIB).await;
    let map = run("qemu-img", &["map", "-f", "raw", "--output=json", &url]).await;
    let map: serde_json::Value = serde_json::from_str(&map).unwrap();
    let run = |run: &serde_json::Value| {
        let number = |name: &str| run[name].as_u64().unwrap() as usize / MIB;
        (number("start"), number("length"), run["data"].as_bool().unwrap())
    };
    let runs: Vec<_> = map.as_array().unwrap().iter().map(run).collect();
    assert_eq!(runs, [(0, 2, false), (2, 1, true), (3, 5, false)]);
}

async fn write(export: &dyn trefoil_daemon::nbd::Export, offset: u64, length: usize) {
    export.write(offset, vec![7; length].into(), false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qemu_io_writes_reads_zeroes_and_discards_over_a_unix_socket() {
    if !has("qemu-io") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("nbd.sock");
    let export = MemoryExport::new(8 * MIB);
    let catalog = Catalog::one("vol", &export);
    let address = format!("unix:{}", socket.display());
    let _serving = Serving::start_with(&address, catalog, NbdLimits::default()).await;
    let url = format!("nbd+unix:///vol?socket={}", socket.display());
    let script = [
        "aio_write -P 0xaa 0 1M",
        "aio_write -P 0xbb 1M 1M",
        "aio_flush",
        "write -f -P 0xcc 2M 64k",
        "write -z -u 512k 64k",
        "discard 3M 1M",
        "flush",
        "read -v -P 0xbb 1M 512",
        "read -P 0 512k 64k",
        "read -P 0xcc 2M 64k",
    ];
    let mut arguments = vec!["-f", "raw"];
    arguments.extend(script.iter().flat_map(|line| ["-c", line]));
    arguments.push(&url);
    let told = run("qemu-io", &arguments).await;
    assert!(!told.to_lowercase().contains("fail"), "{told}");
    assert_eq!(export.bytes.lock()[MIB..MIB + 512], [0xbb; 512]);
    assert!(export.fua.load(SeqCst) >= 1);
    assert!(export.punches.load(SeqCst) >= 2);

    export.read_only.store(true, SeqCst);
    let refused = Command::new("qemu-io").args(["-f", "raw", "-c", "write 0 4k", &url]).output();
    assert!(!refused.await.unwrap().status.success(), "a read-only export was opened for writing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nbdinfo_lists_what_is_offered() {
    if !has("nbdinfo") {
        return;
    }
    let (export, serving, url) = volume(8 * MIB).await;
    write(&*export, 0, MIB).await;
    let info = run("nbdinfo", &["--json", &url]).await;
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["protocol"], "newstyle-fixed");
    assert_eq!(info["structured"], true);
    let export = &info["exports"][0];
    assert_eq!(export["export-size"], 8 * MIB as u64);
    for can in ["flush", "fua", "trim", "zero", "fast_zero", "multi_conn", "df"] {
        assert_eq!(export[format!("can_{can}")], true, "{can}");
    }
    assert_eq!(export["can_cache"], false);
    assert_eq!(export["contexts"][0], "base:allocation");
    let sizes = ["minimum", "preferred", "maximum"];
    let sizes = sizes.map(|name| export[format!("block_size_{name}")].as_u64().unwrap());
    assert_eq!(sizes, [1, 4096, 32 << 20]);
    let list = run("nbdinfo", &["--list", "--json", &format!("nbd://{}", serving.address)]).await;
    assert!(list.contains("\"vol\""), "{list}");
    let map = run("nbdinfo", &["--map", &url]).await;
    let states: Vec<_> = map.lines().map(|line| line.split_whitespace().nth(3).unwrap()).collect();
    assert_eq!(states, ["data", "hole,zero"], "{map}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nbdcopy_copies_over_four_connections_unchanged() {
    if !has("nbdcopy") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (original, copy) = (directory.path().join("in.raw"), directory.path().join("out.raw"));
    let bytes = image(&original, 32 * MIB);
    let (export, serving, url) = volume(32 * MIB).await;
    export.bytes.lock().fill(0x55);
    let several = ["--connections=4", "--threads=4", "--requests=64", "--flush"];
    let there = [&several[..], &[original.to_str().unwrap(), &url]].concat();
    run("nbdcopy", &there).await;
    assert!(*export.bytes.lock() == bytes);
    assert!(serving.counters.connections.load(SeqCst) >= 4);
    let back = [&several[..], &[&url, copy.to_str().unwrap()]].concat();
    run("nbdcopy", &back).await;
    assert!(std::fs::read(&copy).unwrap() == bytes);
}

/// The system's python, which has the binding of the system's libnbd.
const PYTHON: &str = "/usr/bin/python3";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn libnbd_gets_errors_by_number_and_goes_on() {
    let binding = std::process::Command::new(PYTHON).args(["-c", "import nbd"]).output();
    if !binding.is_ok_and(|output| output.status.success()) {
        return println!("skipped: python3-libnbd is not installed");
    }
    let (export, _serving, url) = volume(8 * MIB).await;
    let script = r#"
import errno, nbd, sys
h = nbd.NBD()
h.add_meta_context("base:allocation")
h.set_strict_mode(0)
h.connect_uri(sys.argv[1])
def refused(number, call, *args):
    try:
        call(*args)
    except nbd.Error as e:
        assert e.errnum == number, (e.errnum, number)
    else:
        raise Exception("not refused")
size = h.get_size()
refused(errno.EINVAL, h.pread, 512, size)
refused(errno.ENOSPC, h.pwrite, b"x" * 512, size)
h.pwrite(b"x" * 512, 0, nbd.CMD_FLAG_FUA)
assert h.pread(512, 0, nbd.CMD_FLAG_DF) == b"x" * 512
h.zero(512, 0, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE)
assert h.pread(512, 0) == bytearray(512)
runs = []
h.block_status(size, 0, lambda context, offset, entries, error: runs.extend(entries) or 0)
assert sum(runs[::2]) == size, runs
block = lambda n: nbd.Buffer.from_bytearray(bytearray([n]) * 4096)
cookies = [h.aio_pwrite(block(n), n * 4096) for n in range(200)]
while h.aio_in_flight() > 0:
    h.poll(-1)
assert all(h.aio_command_completed(c) for c in cookies)
h.flush()
h.shutdown()
print("well")
"#;
    assert_eq!(run(PYTHON, &["-c", script, &url]).await.trim(), "well");
    assert_eq!(export.bytes.lock()[199 * 4096], 199);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fio_verifies_what_it_wrote_at_depth() {
    if !has("fio") {
        return;
    }
    let engines = std::process::Command::new("fio").arg("--enghelp").output().unwrap();
    if !String::from_utf8_lossy(&engines.stdout).lines().any(|line| line.trim() == "nbd") {
        return println!("skipped: fio has no nbd engine");
    }
    let (_, serving, url) = volume(16 * MIB).await;
    let uri = format!("--uri={url}");
    let arguments = [
        "--name=job",
        "--ioengine=nbd",
        &uri,
        "--rw=randwrite",
        "--bsrange=512-64k",
        "--bs_unaligned=1",
        "--iodepth=32",
        "--size=16M",
        "--io_size=16M",
        "--verify=crc32c",
        "--do_verify=1",
        "--verify_fatal=1",
        "--end_fsync=1",
        "--output-format=terse",
    ];
    let directory = tempfile::tempdir().unwrap();
    let aux = format!("--aux-path={}", directory.path().display());
    run("fio", &[&arguments[..], &[&aux]].concat()).await;
    assert!(serving.counters.requests.load(SeqCst) > 200);
    assert_eq!(serving.counters.errors.load(SeqCst), 0);
}
