//! The engine's arguments: those of llama.cpp's server that matter here. As there, an unknown one ends it at once.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

/// What the engine was started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    pub model: PathBuf,
    /// The name that it answers with.
    pub alias: String,
    pub address: SocketAddr,
    /// Slots.
    pub parallel: usize,
    /// Tokens per slot.
    pub context: u64,
    pub metrics: bool,
    pub slots: bool,
    /// Asleep after so long without work.
    pub sleep_idle: Option<Duration>,
}

impl Args {
    pub fn parse(args: Vec<String>) -> Result<Args, String> {
        let mut model: Option<PathBuf> = None;
        let mut alias = None;
        let mut host = IpAddr::from([127, 0, 0, 1]);
        let mut port = 8080;
        let (mut parallel, mut context) = (1, 2048);
        let (mut metrics, mut slots) = (false, true);
        let mut sleep_idle = None;

        let mut rest = args.into_iter();
        while let Some(name) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("error: {name} expects a value"));
            match name.as_str() {
                "-m" | "--model" => model = Some(value()?.into()),
                "-a" | "--alias" => alias = Some(value()?),
                "--host" => host = read(&name, &value()?)?,
                "--port" => port = read(&name, &value()?)?,
                "-np" | "--parallel" => parallel = read(&name, &value()?)?,
                "-c" | "--ctx-size" => context = read(&name, &value()?)?,
                "-t" | "--threads" => {
                    value()?;
                }
                "--metrics" => metrics = true,
                "--no-slots" => slots = false,
                "--sleep-idle-seconds" => sleep_idle = Some(Duration::from_secs(read(&name, &value()?)?)),
                _ => return Err(format!("error: invalid argument: {name}")),
            }
        }
        let model = model.ok_or("error: no model: give it with --model FILE")?;
        let alias =
            alias.or_else(|| Some(model.file_stem()?.to_str()?.to_owned())).unwrap_or_else(|| "model".to_owned());
        let address = SocketAddr::new(host, port);
        Ok(Args { model, alias, address, parallel: parallel.max(1), context, metrics, slots, sleep_idle })
    }
}

fn read<T: FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("error: {name} cannot be {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn what_is_not_given_is_llama_cpps_default() {
        let args = parse("-m models/tiny.gguf").unwrap();
        assert_eq!(args.address.to_string(), "127.0.0.1:8080");
        assert_eq!((args.alias.as_str(), args.parallel, args.slots, args.metrics), ("tiny", 1, true, false));
        assert_eq!(args.sleep_idle, None);
    }

    #[test]
    fn a_mistake_ends_it() {
        assert!(parse("--model").unwrap_err().contains("expects a value"));
        assert!(parse("--model m --port many").unwrap_err().contains("--port cannot be \"many\""));
        assert!(parse("--model m --fire").unwrap_err().contains("invalid argument: --fire"));
        assert!(parse("").unwrap_err().contains("no model"));
    }
}
