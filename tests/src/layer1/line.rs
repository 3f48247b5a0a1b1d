//! A line to a server that can be cut or fall silent, in the middle of anything, and be there again.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the line does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It carries.
    #[default]
    Up,
    /// Whoever calls is hung up on, whoever talks is cut off.
    Cut,
    /// Calls are taken, and nothing is said; whoever talks hears no more.
    Silent,
}

/// A line.
#[derive(Debug)]
pub struct Line {
    at: SocketAddr,
    state: watch::Sender<State>,
    /// Its end ends the thread.
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Line {
    /// A line to `server`, up.
    ///
    /// # Panics
    /// When the system gives no thread or no port.
    pub fn to(server: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("a socket");
        let (state, seen) = watch::channel(State::Up);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let carry = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                let accept = async {
                    loop {
                        let Ok((caller, _)) = listener.accept().await else { continue };
                        tokio::spawn(call(caller, server, seen.clone()));
                    }
                };
                tokio::select! {
                    () = accept => {}
                    _ = ended => {}
                }
            });
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("line".to_owned()).spawn(carry);
        Self { at, state, end: Some(end), thread: Some(thread.expect("a thread")) }
    }

    /// Where callers reach it.
    pub const fn at(&self) -> SocketAddr {
        self.at
    }

    /// From now on it is so.
    pub fn set(&self, state: State) {
        let _before = self.state.send_replace(state);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// One call, until either side hangs up or the line changes.
async fn call(mut caller: TcpStream, server: SocketAddr, mut state: watch::Receiver<State>) {
    let was = *state.borrow_and_update();
    let talk = async {
        match was {
            State::Cut => {}
            State::Silent => std::future::pending().await,
            State::Up => {
                let Ok(mut server) = TcpStream::connect(server).await else { return };
                let _ended = copy_bidirectional(&mut caller, &mut server).await;
            }
        }
    };
    tokio::select! {
        () = talk => return,
        _changed = state.wait_for(|now| *now != was) => {}
    }
    // Who falls silent keeps what it has, so that nobody hears of it.
    let _heard = state.wait_for(|now| *now != State::Silent).await;
}
