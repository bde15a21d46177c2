//! One child process, seen from the host: started, asked, and told why it ended.

use std::{path::Path, process::Stdio, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{
    COMMAND, Isolation,
    frame::{FrameError, FrameReader, Kind, frame},
    last_words::LastWords,
    patience::within,
    reason, spawner,
    stderr::LastLine,
};
use crate::plugin::sandbox;

/// A child whose pipes are closed ends at once; one that does not is ended.
const TO_END: Duration = Duration::from_secs(1);

/// Why a child did not answer. It is of no more use.
#[derive(Debug)]
pub(super) enum Failure {
    /// It ended: how.
    Ended(String),
    /// It took longer than this.
    TooLong(Duration),
    /// It answered something else.
    Protocol(String),
    /// The system gave no process: not the plugin's fault.
    NotStarted(std::io::Error),
}

/// A running child. Dropping it ends it, whatever it does; the runtime reaps it.
pub(super) struct ChildProcess {
    process: Child,
    orders: ChildStdin,
    answers: FrameReader<ChildStdout>,
    stderr: LastLine,
    _tie: sandbox::Tie,
}

/// A child that died in the midst of an exchange, or answered what no child of ours answers.
enum Broken {
    Died(Option<LastWords>),
    Nonsense(FrameError),
}

impl ChildProcess {
    /// Starts a child for a library, which it opens only when it is told to.
    pub(super) async fn start(isolation: &Isolation, library: &Path) -> Result<ChildProcess, Failure> {
        let mut command = Command::new(&isolation.program);
        command
            .arg(COMMAND)
            // It works elsewhere.
            .arg(std::path::absolute(library).unwrap_or_else(|_| library.to_owned()))
            .arg(std::process::id().to_string())
            .env_clear()
            .current_dir(if cfg!(windows) { "." } else { "/" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        sandbox::before_start(&mut command);
        let mut process = spawner::spawn(command).await.map_err(Failure::NotStarted)?;
        let tie = sandbox::Tie::of(&process).map_err(Failure::NotStarted)?;
        let (Some(orders), Some(answers), Some(stderr)) =
            (process.stdin.take(), process.stdout.take(), process.stderr.take())
        else {
            return Err(Failure::NotStarted(std::io::Error::other("a child without pipes")));
        };
        let (answers, stderr) = (FrameReader::new(answers), LastLine::of(stderr));
        Ok(ChildProcess { process, orders, answers, stderr, _tie: tie })
    }

    /// Sends a frame and takes the answer. A child that fails is ended and reaped before this returns.
    pub(super) async fn ask(
        mut self,
        kind: Kind,
        body: &[u8],
        limit: Duration,
    ) -> Result<(ChildProcess, Kind, BytesMut), Failure> {
        let order = frame(kind, &[body]).map_err(|error| Failure::Protocol(error.to_string()))?;
        let (process, printed) = (self.process.id(), self.stderr.printed());
        let exchange = async {
            // A child that died takes no order, and its pipe still holds what it said.
            let sent = self.orders.write_all(&order).await;
            answer(&mut self.answers, sent.is_err()).await
        };
        let outcome = within(limit, process, &printed, exchange).await;
        self.settle(outcome, limit).await
    }

    /// Takes a frame that needs no order.
    pub(super) async fn hear(mut self, limit: Duration) -> Result<(ChildProcess, Kind, BytesMut), Failure> {
        let (process, printed) = (self.process.id(), self.stderr.printed());
        let heard = within(limit, process, &printed, answer(&mut self.answers, false)).await;
        self.settle(heard, limit).await
    }

    async fn settle(
        mut self,
        outcome: Option<Result<(Kind, BytesMut), Broken>>,
        limit: Duration,
    ) -> Result<(ChildProcess, Kind, BytesMut), Failure> {
        match outcome {
            Some(Ok((kind, bytes))) => Ok((self, kind, bytes)),
            Some(Err(Broken::Died(words))) => Err(Failure::Ended(self.obituary(words).await)),
            Some(Err(Broken::Nonsense(error))) => {
                self.end().await;
                Err(Failure::Protocol(format!("its process wrote to the host itself: {error}")))
            }
            None => {
                self.end().await;
                Err(Failure::TooLong(limit))
            }
        }
    }

    /// Has it ended by itself?
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// How it ended, in words.
    async fn obituary(mut self, words: Option<LastWords>) -> String {
        let status = match tokio::time::timeout(TO_END, self.process.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return format!("how is not known: {error}"),
            Err(_) => {
                self.end().await;
                return "it closed its pipe to the host and went on; it was ended".into();
            }
        };
        let line = self.stderr.take().await;
        reason::of_end(status, words, line.as_deref())
    }

    /// Ends it now and reaps it. One that even so does not go (it waits for a disk) is left to the runtime.
    async fn end(&mut self) {
        let _ = tokio::time::timeout(TO_END, self.process.kill()).await;
    }
}

/// The next frame; last words are remembered until the end that they announce.
async fn answer(answers: &mut FrameReader<ChildStdout>, died: bool) -> Result<(Kind, BytesMut), Broken> {
    let mut words = None;
    loop {
        match answers.next().await {
            Ok((Kind::LastWords, bytes)) => words = LastWords::read(&bytes).or(words),
            Ok(frame) if !died && words.is_none() => return Ok(frame),
            Ok(_) => {}
            Err(FrameError::Closed | FrameError::Cut | FrameError::Io(_)) => return Err(Broken::Died(words)),
            Err(error) => return Err(Broken::Nonsense(error)),
        }
    }
}
