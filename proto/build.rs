//! Compiles the messages with protox, so that nobody has to install `protoc`.

/// The files in the order in which one would read them; they import each other by these names.
const FILES: [&str; 4] = [
    "dsr/v1/request.proto",
    "dsr/v1/event.proto",
    "dsr/v1/ledger.proto",
    "dsr/v1/deadletter.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=dsr");
    let files = protox::compile(FILES, ["."])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
