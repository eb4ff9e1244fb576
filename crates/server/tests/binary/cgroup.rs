//! The strongest attacks on the server's memory, in a cgroup of 512 MiB.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::attack::OF_512_MIB;
use crate::memory::{heads_of_one_entry, large_heads, texts};
use crate::support::{Server, until};

const LIMIT: u64 = 512 << 20;

/// A cgroup with a limit of memory, removed when it goes out of scope, after the server in it.
struct Cgroup {
    path: PathBuf,
    /// The file that counts how often its limit ended a process, and the line in it.
    kills: (&'static str, &'static str),
}

impl Cgroup {
    /// None where this system or this user can't make one.
    fn of_memory(name: &str) -> Option<Self> {
        let name = format!("springtide-test-{}-{name}", std::process::id());
        let versions = [
            ("memory", "memory.limit_in_bytes", "memory.oom_control"),
            ("", "memory.max", "memory.events"),
        ];
        versions.into_iter().find_map(|(root, limit, kills)| {
            let path = Path::new("/sys/fs/cgroup").join(root).join(&name);
            fs::create_dir(&path).ok()?;
            let made = Self {
                path,
                kills: (kills, "oom_kill "),
            };
            fs::write(made.path.join(limit), LIMIT.to_string()).ok()?;
            Some(made)
        })
    }

    /// The command, which begins in the group.
    fn around(&self, command: &Command) -> Command {
        let mut around = Command::new("sh");
        around
            .args(["-c", r#"echo $$ > "$0" && exec "$@""#])
            .arg(self.path.join("cgroup.procs"))
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear();
        for (name, value) in command.get_envs() {
            around.env(name, value.unwrap_or_default());
        }
        around
    }

    fn kills(&self) -> u64 {
        let (file, name) = self.kills;
        let text = fs::read_to_string(self.path.join(file)).unwrap();
        let mut lines = text.lines();
        let count = lines.find_map(|line| line.strip_prefix(name));
        count.unwrap().trim().parse().unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        until("the cgroup is empty", || {
            !self.path.exists() || fs::remove_dir(&self.path).is_ok()
        });
    }
}

/// Attacks a server in a cgroup of its own, which isn't ended by its limit.
fn attacked(name: &str, command: &Command, attack: impl FnOnce(&Server)) {
    let Some(cgroup) = Cgroup::of_memory(name) else {
        println!("SKIPPED {name}: no cgroup with a limit of memory can be made here; run as root");
        return;
    };
    let mut server = Server::spawn_until_listening(cgroup.around(command));
    let shared = server.until_log("resized the memory for requests");
    assert_eq!(shared["limit"], LIMIT);
    let requests = shared["requests_bytes"].as_u64().unwrap();
    assert!((LIMIT / 32..LIMIT / 4).contains(&requests), "{shared}");
    server.until_log("ready");
    let status = server.client().get("/springtide/v1/status").json();
    assert_eq!(status["memory"]["limit_bytes"], LIMIT, "{status}");
    assert_eq!(status["memory"]["requests_bytes"], requests, "{status}");
    // What the group has in memory, and not a process alone.
    let at_rest = status["memory"]["at_rest_bytes"].as_u64().unwrap();
    assert!((4 << 20..LIMIT / 2).contains(&at_rest), "{status}");
    attack(&server);
    assert!(!server.has_ended());
    assert_eq!(cgroup.kills(), 0);
    drop(server);
}

#[test]
fn large_heads_end_no_server_of_512_mebibytes() {
    attacked("large-heads", &crate::memory::iris(), |server| {
        large_heads(server, OF_512_MIB);
    });
}

#[test]
fn heads_of_one_entry_end_no_server_of_512_mebibytes() {
    attacked("entry", &crate::memory::iris(), |server| {
        heads_of_one_entry(server, OF_512_MIB);
    });
}

#[test]
fn texts_end_no_server_of_512_mebibytes() {
    let models = crate::memory::iris_and_letters();
    let command = crate::memory::serving_folder(models.path());
    attacked("texts", &command, |server| texts(server, OF_512_MIB));
}
