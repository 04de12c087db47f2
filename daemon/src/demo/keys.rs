//! Single keys from the terminal.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal, Read};
use tokio::sync::mpsc;
use trefoil_core::{Error, Result};

/// Keys that were pressed and not taken yet; more are dropped.
const WAITING_MAX: usize = 16;

/// Hands keys out one by one, without a line end, until it is dropped: then the terminal is as it
/// was. Ctrl-C still interrupts.
pub(super) struct Keys {
    before: Termios,
    pressed: mpsc::Receiver<u8>,
}

impl Keys {
    /// Takes the terminal.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid) where there is none.
    pub fn open() -> Result<Self> {
        if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            return Err(Error::invalid(
                "run interactive demo: it needs a terminal to read keys from and to draw on; \
                 `trefoil demo --script failover` tells the same story without one",
            ));
        }
        let failed =
            |errno: rustix::io::Errno| Error::io("set terminal to single keys", errno.into());
        let before = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut single = before.clone();
        single.local_modes &= !(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &single).map_err(failed)?;
        let (sender, pressed) = mpsc::channel(WAITING_MAX);
        let keys = Self { before, pressed };
        // It waits in a read that nothing ends but a key, so nobody waits for the thread.
        let read = move || read_keys(&sender);
        std::thread::Builder::new()
            .name("trefoil-keys".to_owned())
            .spawn(read)
            .map_err(|source| Error::io("read keys: no thread", source))?;
        Ok(keys)
    }

    /// The next key; `None` when the terminal is gone.
    pub async fn next(&mut self) -> Option<u8> {
        self.pressed.recv().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn read_keys(sender: &mpsc::Sender<u8>) {
    let mut key = [0];
    while std::io::stdin().read_exact(&mut key).is_ok() {
        if let Err(mpsc::error::TrySendError::Closed(_)) = sender.try_send(key[0]) {
            return;
        }
    }
}
