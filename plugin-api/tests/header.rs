//! The C header says the same as the Rust table: compiled, and asked for its layout.

use std::{mem::offset_of, path::Path, process::Command};

use ai_monitor_plugin_api::table::{AIM_ABI, AIM_ERROR, AIM_OK, AIM_PANIC, AimPlugin, AimSink};

#[test]
fn the_header_has_the_layout_of_the_rust_table() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("header");
    std::fs::create_dir_all(&folder).unwrap();
    let assertions = [
        ("AIM_ABI", AIM_ABI as usize),
        ("AIM_OK", AIM_OK as usize),
        ("AIM_ERROR", AIM_ERROR as usize),
        ("AIM_PANIC", AIM_PANIC as usize),
        ("sizeof(aim_sink)", size_of::<AimSink>()),
        ("offsetof(aim_sink, ctx)", offset_of!(AimSink, ctx)),
        ("offsetof(aim_sink, put)", offset_of!(AimSink, put)),
        ("sizeof(aim_plugin)", size_of::<AimPlugin>()),
        ("offsetof(aim_plugin, abi)", offset_of!(AimPlugin, abi)),
        ("offsetof(aim_plugin, size)", offset_of!(AimPlugin, size)),
        ("offsetof(aim_plugin, manifest)", offset_of!(AimPlugin, manifest)),
        ("offsetof(aim_plugin, create)", offset_of!(AimPlugin, create)),
        ("offsetof(aim_plugin, step)", offset_of!(AimPlugin, step)),
        ("offsetof(aim_plugin, destroy)", offset_of!(AimPlugin, destroy)),
        ("offsetof(aim_plugin, extension)", offset_of!(AimPlugin, extension)),
    ]
    .map(|(what, value)| format!("_Static_assert({what} == {value}, \"{what}\");\n"))
    .concat();
    let source = folder.join("layout.c");
    std::fs::write(&source, format!("#include \"ai_monitor_plugin.h\"\n{assertions}")).unwrap();

    let compiled = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-c", "-o"])
        .arg(folder.join("layout.o"))
        .arg("-I")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"))
        .arg(&source)
        .output();
    match compiled {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(e) => eprintln!("SKIPPED: the header was not compiled, there is no C compiler `cc`: {e}"),
    }
}
