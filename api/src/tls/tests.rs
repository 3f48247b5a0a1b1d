//! Tests of `tls`.

use super::*;

const NOW: UnixMs = 1_795_343_115_000;

fn made(names: &[&str]) -> ServerIdentity {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    ServerIdentity::generate(NOW, &names).unwrap()
}

#[test]
fn a_certificate_names_this_machine_and_what_was_added() {
    let facts =
        made(&["Node.Example.org", "10.0.0.4", "localhost", "2001:DB8::1"]).facts().unwrap();
    let expected = ["localhost", "127.0.0.1", "::1", "node.example.org", "10.0.0.4", "2001:db8::1"];
    assert_eq!(facts.names, expected);
}

#[test]
fn a_certificate_is_renewed_thirty_days_before_its_end_or_for_another_name() {
    let facts = made(&["a.example"]).facts().unwrap();
    let lifetime_days = facts.not_after.abs_diff(NOW) / DAY_MS;
    assert!((420..=426).contains(&lifetime_days), "{lifetime_days}");

    let names = ["a.example".to_owned()];
    assert!(!facts.needs_renewal(NOW, &names));
    assert!(!facts.needs_renewal(facts.not_after - 31 * DAY_MS, &names));
    assert!(facts.needs_renewal(facts.not_after - 30 * DAY_MS, &names));
    assert!(facts.needs_renewal(NOW, &["b.example".to_owned()]));
    assert!(!facts.needs_renewal(NOW, &[]), "a name too many does no harm");
}

#[test]
fn files_are_made_once_and_then_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("tls.cert"), dir.path().join("tls.key"));
    let (first, fresh) = ServerIdentity::load_or_make(&cert, &key, NOW, &[]).unwrap();
    assert!(fresh);
    let (second, fresh) = ServerIdentity::load_or_make(&cert, &key, NOW + DAY_MS, &[]).unwrap();
    assert!(!fresh);
    assert_eq!(first.certificate_pem(), second.certificate_pem());
    let late = NOW + LIFETIME_MS;
    let (third, fresh) = ServerIdentity::load_or_make(&cert, &key, late, &[]).unwrap();
    assert!(fresh);
    assert_ne!(first.certificate_pem(), third.certificate_pem());
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_the_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("tls.cert"), dir.path().join("tls.key"));
    ServerIdentity::load_or_make(&cert, &key, NOW, &[]).unwrap();
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left aside");
}

#[test]
fn what_is_there_and_unreadable_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("tls.cert"), dir.path().join("tls.key"));
    fs::write(&cert, "not a certificate").unwrap();
    let half = ServerIdentity::load_or_make(&cert, &key, NOW, &[]);
    assert!(matches!(half, Err(TlsError::Half { path }) if path == key));
    fs::write(&key, "not a key").unwrap();
    let junk = ServerIdentity::load_or_make(&cert, &key, NOW, &[]);
    assert!(matches!(junk, Err(TlsError::Malformed { path }) if path == cert));
    fs::write(&cert, made(&[]).certificate_pem()).unwrap();
    let junk = ServerIdentity::load_or_make(&cert, &key, NOW, &[]);
    assert!(matches!(junk, Err(TlsError::Malformed { path }) if path == key));
    assert_eq!(fs::read_to_string(&key).unwrap(), "not a key");
}

#[test]
fn the_fingerprint_is_the_sha256_of_the_certificate() {
    // From `openssl x509 -fingerprint -sha256` over the same file.
    let pem = include_str!("testdata/self_signed.pem");
    let expected = include_str!("testdata/self_signed.sha256").trim();
    assert_eq!(fingerprint(pem).as_deref(), Some(expected));
    let der = certificate_der(pem).unwrap();
    let facts = CertificateFacts::read(&der).unwrap();
    assert_eq!(facts.names, ["example.org", "192.0.2.7"]);
    // `openssl x509 -enddate`: Sep 30 10:43:27 2059 GMT.
    assert_eq!(crate::calendar::to_rfc3339(facts.not_after), "2059-09-30T10:43:27Z");
    assert_eq!(fingerprint("nothing"), None);
}

#[test]
fn cut_or_changed_certificates_are_refused_without_a_panic() {
    let der = certificate_der(made(&["a.example"]).certificate_pem()).unwrap();
    for len in 0..der.len() {
        assert!(CertificateFacts::read(&der[..len]).is_err(), "{len}");
    }
    for at in 0..der.len() {
        for value in [0, 0x7f, 0x80, 0x84, 0xff] {
            let mut changed = der.to_vec();
            changed[at] = value;
            let _ = CertificateFacts::read(&changed);
        }
    }
}

#[test]
fn a_key_does_not_print() {
    let identity = made(&[]);
    let shown = format!("{identity:?}");
    assert!(shown.contains(':') && !shown.contains("KEY"), "{shown}");
}
