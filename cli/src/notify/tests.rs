use super::*;

fn heard(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    let count = socket.recv(&mut bytes).unwrap();
    String::from_utf8(bytes[..count].to_vec()).unwrap()
}

fn tells(name: OsString, socket: &UnixDatagram) {
    let mut manager = Manager { socket: Some(name) };
    manager.status("opening");
    manager.ready("serving");
    manager.stopped();
    assert_eq!(heard(socket), "STATUS=opening");
    assert_eq!(heard(socket), format!("READY=1\nMAINPID={}\nSTATUS=serving", std::process::id()));
    assert!(heard(socket).starts_with("STOPPING=1\n"));
}

#[test]
fn a_manager_hears_in_a_file_and_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    tells(path.clone().into_os_string(), &UnixDatagram::bind(&path).unwrap());
    let name = format!("lostore-notify-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    tells(format!("@{name}").into(), &UnixDatagram::bind_addr(&address).unwrap());
}

#[test]
fn a_manager_that_is_not_there_is_told_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut manager = Manager { socket: Some(dir.path().join("nobody").into_os_string()) };
    manager.ready("serving");
    assert_eq!(manager.socket, None);
    manager.stopped();
}
