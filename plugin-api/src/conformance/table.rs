//! Rules of the function table and of how it hands out the manifest.

use std::ptr;

use super::{Kit, Rule, Test, Verdict, calls::call, drive::Output};
use crate::{
    limits::MANIFEST_MAX,
    table::{AIM_ABI, AIM_ERROR, AIM_OK, AimPlugin},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "table_abi",
        says: "`abi` is this contract's, and is read before anything else",
        section: "1, function table",
        test: Test::Once(abi),
    },
    Rule {
        name: "table_size",
        says: "`size` is at least the table's",
        section: "1, function table",
        test: Test::Once(size),
    },
    Rule {
        name: "table_functions",
        says: "no function but `extension` is null",
        section: "1, function table",
        test: Test::Once(functions),
    },
    Rule {
        name: "extension_answers_null",
        says: "`extension` gives null for a name that it does not know",
        section: "1, extensions",
        test: Test::Once(extension),
    },
    Rule {
        name: "manifest_is_written",
        says: "`manifest` writes UTF-8 within 256 KiB and gives AIM_OK",
        section: "1, limits",
        test: Test::Once(manifest_is_written),
    },
    Rule {
        name: "manifest_is_always_the_same",
        says: "`manifest` writes the same bytes at any time, on any thread, concurrently",
        section: "1, function table",
        test: Test::Once(manifest_is_the_same),
    },
    Rule {
        name: "manifest_heeds_the_limit",
        says: "`manifest` stops writing and gives AIM_ERROR where the sink is full",
        section: "1, function table",
        test: Test::Once(manifest_heeds_the_limit),
    },
];

/// The table, if its ABI is ours and nothing is missing.
pub(super) fn usable(table: *const AimPlugin) -> Option<&'static AimPlugin> {
    if table.is_null() || read_abi(table) != AIM_ABI || (read_size(table) as usize) < size_of::<AimPlugin>() {
        return None;
    }
    // SAFETY: it is of our ABI and large enough, and lives for ever by the promise of `Kit::from_pointer`.
    let table: &'static AimPlugin = unsafe { &*table };
    let whole = table.manifest.is_some() && table.create.is_some() && table.step.is_some() && table.destroy.is_some();
    whole.then_some(table)
}

fn read_abi(table: *const AimPlugin) -> u32 {
    // SAFETY: the first four bytes are readable, by the promise of `Kit::from_pointer`.
    unsafe { (&raw const (*table).abi).read() }
}

/// Only where the ABI is ours.
fn read_size(table: *const AimPlugin) -> u32 {
    // SAFETY: a table of our ABI has at least abi and size.
    unsafe { (&raw const (*table).size).read() }
}

pub(super) fn manifest_bytes(table: &AimPlugin) -> Result<Vec<u8>, String> {
    let mut out = Output::new(MANIFEST_MAX);
    let manifest = table.manifest.ok_or("the table has no `manifest`")?;
    // SAFETY: the contract allows any thread at any time; the sink is valid during the call.
    let code = call("manifest", || unsafe { manifest(&out.sink()) });
    match code {
        _ if out.full => Err(format!("the manifest is over {MANIFEST_MAX} bytes")),
        AIM_OK => Ok(out.bytes),
        code => Err(format!("`manifest` gave code {code}")),
    }
}

fn abi(kit: &Kit) -> Verdict {
    Verdict::of(match read_abi(kit.table) {
        AIM_ABI => Ok(format!("abi {AIM_ABI}")),
        other => Err(format!("`abi` is {other}, this contract's is {AIM_ABI}: build it with the current header")),
    })
}

fn size(kit: &Kit) -> Verdict {
    if read_abi(kit.table) != AIM_ABI {
        return Verdict::DoesNotApply("nothing else is read where `abi` differs".into());
    }
    let (found, least) = (read_size(kit.table) as usize, size_of::<AimPlugin>());
    Verdict::of(if found >= least {
        Ok(format!("{found} bytes"))
    } else {
        Err(format!("`size` is {found}, at least {least} belong: set it to sizeof(aim_plugin)"))
    })
}

fn functions(kit: &Kit) -> Verdict {
    if read_abi(kit.table) != AIM_ABI || (read_size(kit.table) as usize) < size_of::<AimPlugin>() {
        return Verdict::DoesNotApply("the table is not whole".into());
    }
    // SAFETY: it is of our ABI and large enough, and lives for ever by the promise of `Kit::from_pointer`.
    let table = unsafe { &*kit.table };
    let missing: Vec<&str> = [
        ("manifest", table.manifest.is_none()),
        ("create", table.create.is_none()),
        ("step", table.step.is_none()),
        ("destroy", table.destroy.is_none()),
    ]
    .into_iter()
    .filter_map(|(name, is_missing)| is_missing.then_some(name))
    .collect();
    Verdict::of(if missing.is_empty() {
        Ok("4 functions".into())
    } else {
        Err(format!("null: {}", missing.join(", ")))
    })
}

fn extension(kit: &Kit) -> Verdict {
    let Some(extension) = kit.usable().and_then(|table| table.extension) else {
        return Verdict::DoesNotApply("the table has no `extension`".into());
    };
    // SAFETY: the id ends with a NUL and is valid during the call; any thread may call.
    let found = call("extension", || unsafe { extension(c"org.example.not-there/1".as_ptr()) });
    Verdict::of(if ptr::eq(found, ptr::null()) {
        Ok("1 name".into())
    } else {
        Err("it gave a table for `org.example.not-there/1`".into())
    })
}

fn manifest_is_written(kit: &Kit) -> Verdict {
    let bytes = match kit.manifest_bytes() {
        Ok(bytes) => bytes,
        Err(why) => return Verdict::failed(why),
    };
    Verdict::of(match std::str::from_utf8(&bytes) {
        Ok(_) => Ok(format!("{} bytes", bytes.len())),
        Err(error) => Err(format!("it is no UTF-8: {error}")),
    })
}

fn manifest_is_the_same(kit: &Kit) -> Verdict {
    const THREADS: usize = 4;
    const TIMES: usize = 50;
    let Some(table) = kit.usable() else { return Verdict::DoesNotApply("the table cannot be used".into()) };
    let first = match manifest_bytes(table) {
        Ok(first) => first,
        Err(why) => return Verdict::failed(why),
    };
    let differs = std::thread::scope(|scope| {
        let ask = || (0..TIMES).any(|_| manifest_bytes(table).as_ref() != Ok(&first));
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().any(|thread| thread.join().unwrap_or(true))
    });
    Verdict::of(if differs {
        Err("its bytes were others another time".into())
    } else {
        Ok(format!("{} times on {THREADS} threads", THREADS * TIMES))
    })
}

fn manifest_heeds_the_limit(kit: &Kit) -> Verdict {
    let Some(table) = kit.usable() else { return Verdict::DoesNotApply("the table cannot be used".into()) };
    let Some(manifest) = table.manifest else { return Verdict::DoesNotApply("there is no `manifest`".into()) };
    let mut out = Output::new(3);
    // SAFETY: the contract allows any thread at any time; the sink is valid during the call.
    let code = call("manifest", || unsafe { manifest(&out.sink()) });
    Verdict::of(if code != AIM_ERROR {
        Err(format!("with a full sink it gave code {code}, not AIM_ERROR"))
    } else if out.after_full > 0 {
        Err(format!("it wrote {} times after the sink had refused", out.after_full))
    } else {
        Ok("a sink of 3 bytes".into())
    })
}
