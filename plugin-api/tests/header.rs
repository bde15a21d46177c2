//! The C header is as it was promised, says the same as the Rust table, and compiles in every dialect that it is for.

use std::{fs, mem::offset_of, path::Path, process::Command};

use ai_monitor_plugin_api::table::{AIM_ABI, AIM_ERROR, AIM_OK, AIM_PANIC, AimPlugin, AimSink};

#[test]
fn the_header_is_as_it_was_promised() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (header, golden) =
        (crate_folder.join("include/ai_monitor_plugin.h"), crate_folder.join("golden/ai_monitor_plugin.h"));
    if std::env::var_os("AI_MONITOR_UPDATE_GOLDEN").is_some() {
        fs::copy(&header, &golden).unwrap();
    }
    assert!(
        fs::read_to_string(&header).unwrap() == fs::read_to_string(&golden).unwrap(),
        "{} is not what was promised. docs/plugins/promise.md tells what may change in contract 1; if this is such a \
         change, write the golden copy anew with\n    \
         AI_MONITOR_UPDATE_GOLDEN=1 cargo test -p ai-monitor-plugin-api --test header",
        header.display(),
    );
}

#[test]
#[cfg_attr(windows, ignore = "needs `cc`")]
fn the_header_has_the_layout_of_the_rust_table() {
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
    compile("layout", "c", "c11", &assertions).unwrap();
}

#[test]
#[cfg_attr(windows, ignore = "needs `cc`")]
fn a_plugin_compiles_in_c99_c11_and_cpp17() {
    let plugin = r#"
        static int32_t manifest(const aim_sink *out) { return out->put(out->ctx, (const uint8_t *)"{}", 2); }
        static int32_t create(void **session, const aim_sink *err) { (void)session; (void)err; return AIM_ERROR; }
        static int32_t step(void *session, const uint8_t *event, size_t len, const aim_sink *out) {
          (void)session; (void)event; (void)len; (void)out;
          return AIM_PANIC;
        }
        static void destroy(void *session) { (void)session; }
        static const void *extension(const char *id) { (void)id; return NULL; }
        const aim_plugin ai_monitor_plugin_v1 = {
          AIM_ABI, (uint32_t)sizeof(aim_plugin), manifest, create, step, destroy, extension,
        };
    "#;
    for (language, standard) in [("c", "c99"), ("c", "c11"), ("c++", "c++17")] {
        compile("plugin", language, standard, plugin).unwrap();
    }
}

#[test]
#[cfg_attr(windows, ignore = "needs `cc`")]
fn another_layout_does_not_compile() {
    let wrong = "_Static_assert(sizeof(aim_plugin) == 1, \"\");";
    assert!(compile("wrong", "c", "c11", wrong).is_err(), "an assertion that fails compiled");
    for (language, standard) in [("c", "c11"), ("c++", "c++17")] {
        let error = compile_behind("packed", language, standard, "#pragma pack(1)\n#define uint32_t char\n", "");
        assert!(error.is_err(), "{language} took another layout");
    }
}

fn compile(name: &str, language: &str, standard: &str, source: &str) -> Result<(), String> {
    compile_behind(name, language, standard, "", source)
}

/// Compiles what stands before the header, the header, and what stands behind it. The README asks for a C++ compiler.
fn compile_behind(name: &str, language: &str, standard: &str, before: &str, source: &str) -> Result<(), String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("header");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{name}.{standard}.{}", if language == "c" { "c" } else { "cpp" }));
    let standard_headers = "#include <stddef.h>\n#include <stdint.h>\n";
    fs::write(&file, format!("{standard_headers}{before}#include \"ai_monitor_plugin.h\"\n{source}")).unwrap();
    let output = Command::new("cc")
        .args(["-x", language, &format!("-std={standard}"), "-Wall", "-Wextra", "-Werror", "-pedantic", "-c", "-o"])
        .arg(file.with_extension("o"))
        .arg("-I")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"))
        .arg(&file)
        .output();
    let output = output.unwrap_or_else(|e| panic!("the C compiler `cc` is not there; the README asks for one: {e}"));
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
