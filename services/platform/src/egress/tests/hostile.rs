//! URLs, names and answers that try to make us knock on our own doors. A canary listens at every port that they name,
//! and must never be touched.

use super::*;

/// `{p}` stands for the canary's port, which is allowed, so that only the destination can be the reason.
const HOSTILE: &[&str] = &[
    "https://127.0.0.1:{p}/",
    "https://127.1:{p}/",
    "https://127.0.1:{p}/",
    "https://2130706433:{p}/",
    "https://0x7f000001:{p}/",
    "https://0x7f.1:{p}/",
    "https://0x7f.0x0.0x0.0x1:{p}/",
    "https://017700000001:{p}/",
    "https://0177.0.0.1:{p}/",
    "https://0177.0.0.01:{p}/",
    "https://00000177.1:{p}/",
    "https://127.0.0.1.:{p}/",
    "https://0.0.0.0:{p}/",
    "https://0:{p}/",
    "https://0x0:{p}/",
    "https://127.127.127.127:{p}/",
    "https://①②⑦.⓪.⓪.①:{p}/",
    "https://127。0。0。1:{p}/",
    "https://127．0．0．1:{p}/",
    "https://１２７.0.0.1:{p}/",
    "https://%31%32%37.0.0.1:{p}/",
    "https://[::1]:{p}/",
    "https://[::]:{p}/",
    "https://[0:0:0:0:0:0:0:1]:{p}/",
    "https://[::ffff:127.0.0.1]:{p}/",
    "https://[::ffff:7f00:1]:{p}/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]:{p}/",
    "https://[::127.0.0.1]:{p}/",
    "https://[64:ff9b::127.0.0.1]:{p}/",
    "https://[64:ff9b:1::127.0.0.1]:{p}/",
    "https://[2002:7f00:1::]:{p}/",
    "https://[2001:0:7f00:1::]:{p}/",
    "https://[2002:a9fe:a9fe::]:{p}/",
    "https://[2001:0:808:808:0:0:80ff:fffe]:{p}/",
    "https://[64:ff9b::a9fe:a9fe]:{p}/",
    "https://[64:ff9b:1:7f00:0:100::]:{p}/",
    "https://[::ffff:0:127.0.0.1]:{p}/",
    "https://[2a00::5efe:127.0.0.1]:{p}/",
    "https://[fe80::5efe:7f00:1]:{p}/",
    "https://[2001:db8::1]:{p}/",
    "https://[3fff::1]:{p}/",
    "https://[5f00::1]:{p}/",
    "https://[100::1]:{p}/",
    "https://[2001:2::1]:{p}/",
    "https://[::1%25lo]:{p}/",
    "https://[::1%lo]:{p}/",
    "https://[::1.]:{p}/",
    "https://[127.0.0.1]:{p}/",
    "https://[::1:{p}/",
    "https://[fe80::1%25eth0]:{p}/",
    "https://[fe80::1%eth0]:{p}/",
    "https://[fe80::1]:{p}/",
    "https://[fc00::1]:{p}/",
    "https://[fd00:ec2::254]:{p}/",
    "https://[ff02::1]:{p}/",
    "https://[fec0::1]:{p}/",
    "https://10.0.0.1:{p}/",
    "https://172.16.0.1:{p}/",
    "https://192.168.1.1:{p}/",
    "https://169.254.169.254:{p}/latest/meta-data/",
    "https://2852039166:{p}/",
    "https://0xa9fea9fe:{p}/",
    "https://[::ffff:169.254.169.254]:{p}/",
    "https://100.64.0.1:{p}/",
    "https://100.100.100.200:{p}/",
    "https://168.63.129.16:{p}/",
    "https://192.0.0.192:{p}/",
    "https://198.18.0.1:{p}/",
    "https://203.0.113.7:{p}/",
    "https://192.0.2.1:{p}/",
    "https://198.51.100.1:{p}/",
    "https://192.88.99.1:{p}/",
    "https://192.175.48.1:{p}/",
    "https://192.31.196.1:{p}/",
    "https://192.52.193.1:{p}/",
    "https://224.0.0.1:{p}/",
    "https://239.255.255.250:{p}/",
    "https://240.0.0.1:{p}/",
    "https://255.255.255.255:{p}/",
    "https://localhost:{p}/",
    "https://LOCALHOST:{p}/",
    "https://localhost.:{p}/",
    "https://localhost..:{p}/",
    "https://a.localhost.:{p}/",
    "https://localhost.localdomain:{p}/",
    "https://ip6-loopback:{p}/",
    "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{p}/",
    "https://ℓocalhost:{p}/",
    "https://localho\u{ad}st:{p}/",
    "https://local\u{200b}host:{p}/",
    "https://localhoſt:{p}/",
    "https://localhost。:{p}/",
    "https://a.localhost:{p}/",
    "https://loc%61lhost:{p}/",
    "https://ｌocalhost:{p}/",
    "https://user@example.org:{p}/",
    "https://:pass@example.org:{p}/",
    "https://example.org:{p}@127.0.0.1:{p}/",
    "https://127.0.0.1:{p}#@example.org/",
    "https://127.0.0.1:{p}\\@example.org/",
    "http://127.0.0.1:{p}/",
    "http://example.org:{p}/",
    "HTTP://example.org:{p}/",
    "https:127.0.0.1:{p}/",
    "https:///127.0.0.1:{p}/",
    "https:\\\\127.0.0.1:{p}\\",
    "https://127.0.0.1\t:{p}/",
    "https://127.0.0.1:{p}/\n",
    "https://256.0.0.1:{p}/",
    "https://1.2.3.4.5:{p}/",
    "https://:{p}/",
    "https://",
    "//127.0.0.1:{p}/",
    "127.0.0.1:{p}/",
    "file:///etc/passwd",
    "ftp://127.0.0.1:{p}/",
    "gopher://127.0.0.1:{p}/_",
    "data:text/plain,x",
    "unix:/run/x.sock",
    "ws://127.0.0.1:{p}/",
    "https://example.org:22/",
    "https://example.org:0/",
    "https://loop.example:{p}/",
    "https://mixed.example:{p}/",
    "https://mapped.example:{p}/",
    "https://private.example:{p}/",
    "https://loop.example.:{p}/",
    "https://nat64.example:{p}/",
    "https://teredo.example:{p}/",
    "https://sixtofour.example:{p}/",
    "https://metadata.google.internal:{p}/computeMetadata/v1/",
    "https://unspecified.example:{p}/",
    "https://broadcast.example:{p}/",
    "https://ula.example:{p}/",
    "https://last.example:{p}/",
    "https://еxample.org@127.0.0.1:{p}/",
    "http://intranet.example.evil.example:{p}/",
    "http://іntranet.example:{p}/",
    "http://intranet.example@127.0.0.1:{p}/",
    "https://a..example:{p}/",
    "https://.example:{p}/",
];

#[tokio::test]
async fn nothing_hostile_touches_the_canary() {
    assert!(HOSTILE.len() >= 140);
    let canary = Peer::answering(OK);
    let names = Names::of(&[
        ("loop.example", &["127.0.0.1"]),
        ("loop.example.", &["127.0.0.1"]),
        ("mixed.example", &["8.8.8.8 127.0.0.1"]),
        ("mapped.example", &["::ffff:127.0.0.1"]),
        ("private.example", &["10.0.0.1"]),
        ("localhost.localdomain", &["127.0.0.1"]),
        ("ip6-loopback", &["::1"]),
        ("nat64.example", &["64:ff9b::7f00:1"]),
        ("teredo.example", &["2001:0:808:808:0:0:80ff:fffe"]),
        ("sixtofour.example", &["2002:7f00:1::"]),
        ("metadata.google.internal", &["169.254.169.254"]),
        ("unspecified.example", &["0.0.0.0"]),
        ("broadcast.example", &["255.255.255.255"]),
        ("ula.example", &["fd00:ec2::254"]),
        ("last.example", &["8.8.8.8 2606:4700::1111 1.1.1.1 ::1"]),
    ]);
    let egress = egress(&["intranet.example"], &[443, canary.port], names);
    let mut called = Vec::new();
    for pattern in HOSTILE {
        let outcome = post(&egress, &pattern.replace("{p}", &canary.port.to_string())).await;
        if !matches!(outcome, Err(EgressError::Forbidden(_))) {
            called.push((pattern, outcome));
        }
    }
    assert!(called.is_empty(), "{called:#?}");
    assert_eq!(canary.connections(), 0);

    let trusting = loopback();
    post(&trusting, &canary.url()).await.unwrap();
    assert_eq!(canary.connections(), 1, "the canary does sing");
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_judged_again() {
    let policy = Policy {
        trusted: vec![],
        ports: vec![443],
    };
    let names = Names::of(&[("rebinding.example", &["8.8.8.8", "127.0.0.1"])]);
    let guarded = Guarded::new(policy, None, names);
    let resolve = || guarded.resolve("rebinding.example".parse().unwrap());
    assert_eq!(resolve().await.map(Iterator::count).map_err(|_| ()), Ok(1));
    let Err(error) = resolve().await else {
        panic!("loopback was allowed")
    };
    assert_eq!(
        error.downcast_ref(),
        Some(&NameError::Forbidden(Forbidden::Address("loopback")))
    );
}

/// The first answer leads to a trusted peer, and the second to a canary at the same port of another address.
#[tokio::test]
async fn a_name_that_changes_its_mind_does_not_reach_the_canary() {
    let canary = Peer::answering(OK);
    let trusted = TcpListener::bind(("127.0.0.2", canary.port)).unwrap();
    std::thread::spawn(move || trusted.incoming().for_each(drop));
    let names = Names::of(&[("rebinding.example", &["127.0.0.2", "127.0.0.1", "127.0.0.2 127.0.0.1"])]);
    let egress = egress(&["127.0.0.2"], &[canary.port], names);
    let url = format!("https://rebinding.example:{}/", canary.port);
    assert!(
        matches!(post(&egress, &url).await, Err(EgressError::Theirs(_))),
        "it was dialled"
    );
    for _ in 0..2 {
        let outcome = post(&egress, &url).await;
        assert_eq!(outcome, Err(Forbidden::Address("loopback").into()));
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let egress = loopback();
    let canary = Peer::answering(OK);
    let elsewhere = [
        canary.url(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "//127.0.0.1/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ];
    for (status, location) in [301, 302, 303, 307, 308]
        .into_iter()
        .flat_map(|status| elsewhere.iter().map(move |to| (status, to)))
    {
        let peer = Peer::answering(format!(
            "HTTP/1.1 {status} Go\r\nlocation: {location}\r\nrefresh: 0; url={location}\r\ncontent-length: 0\r\n\r\n"
        ));
        assert_eq!(post(&egress, &peer.url()).await.unwrap().status, status);
        assert_eq!(peer.connections(), 1);
    }
    assert_eq!(canary.connections(), 0);
}
