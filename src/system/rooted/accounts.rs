//! The accounts of an image, as passwd(5) and group(5) of it have them.

use super::super::User;

/// An account, by name or number; a number may have no name.
pub(super) fn user(passwd: &str, name_or_number: &str) -> Option<User> {
    let accounts = || lines(passwd).filter_map(|fields| account(&fields));
    let by_number = || {
        let uid = name_or_number.parse().ok()?;
        Some(accounts().find(|user| user.uid == uid).unwrap_or(User {
            name: None,
            uid,
            gid: uid,
            home: "/".into(),
        }))
    };
    accounts()
        .find(|user| user.name.as_deref() == Some(name_or_number))
        .or_else(by_number)
}

/// A group's number, by name or number.
pub(super) fn group_number(groups: &str, name_or_number: &str) -> Option<u32> {
    let named = lines(groups).filter_map(|fields| named(&fields));
    let number = named
        .filter(|(name, _)| name == name_or_number)
        .map(|(_, number)| number);
    number.chain(name_or_number.parse().ok()).next()
}

/// A group's name (or its number, where it has no name), by name or number.
pub(super) fn group(groups: &str, name_or_number: &str) -> Option<String> {
    let groups = || lines(groups).filter_map(|fields| named(&fields));
    let by_number = || {
        let gid: u32 = name_or_number.parse().ok()?;
        let name = groups().find(|(_, number)| *number == gid).map(|(name, _)| name);
        Some(name.unwrap_or_else(|| gid.to_string()))
    };
    groups()
        .map(|(name, _)| name)
        .find(|name| name == name_or_number)
        .or_else(by_number)
}

/// The fields of each line. Comments, and `+` and `-` of NIS, are nobody's.
fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| !line.starts_with(['#', '+', '-']))
        .map(|line| line.split(':').collect())
}

fn account(fields: &[&str]) -> Option<User> {
    Some(User {
        name: Some((*fields.first()?).to_owned()),
        uid: fields.get(2)?.parse().ok()?,
        gid: fields.get(3)?.parse().ok()?,
        home: fields.get(5)?.into(),
    })
}

fn named(fields: &[&str]) -> Option<(String, u32)> {
    Some(((*fields.first()?).to_owned(), fields.get(2)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n# old:x:7:7::/old:\n+::::::\nbroken:x:8\n\n\
                          alice:x:1000:100:Alice,,,:/home/alice:/bin/sh\n2000:x:3000:3000::/srv/digits:\n";

    #[test]
    fn an_account_is_found_by_its_name_then_by_its_number() {
        for (wanted, expected) in [
            ("root", Some((Some("root"), 0, 0, "/root"))),
            ("alice", Some((Some("alice"), 1000, 100, "/home/alice"))),
            ("1000", Some((Some("alice"), 1000, 100, "/home/alice"))),
            ("2000", Some((Some("2000"), 3000, 3000, "/srv/digits"))),
            ("7", Some((None, 7, 7, "/"))),
            ("8", Some((None, 8, 8, "/"))),
            ("broken", None),
            ("# old", None),
            ("bob", None),
            ("", None),
            ("-1", None),
        ] {
            let user = user(PASSWD, wanted);
            let expected = expected.map(|(name, uid, gid, home)| User {
                name: name.map(str::to_owned),
                uid,
                gid,
                home: home.into(),
            });
            assert_eq!(user, expected, "{wanted:?}");
        }
    }

    #[test]
    fn a_group_is_found_by_its_name_then_by_its_number() {
        let groups = "root:x:0:\nusers:x:100:alice,bob\n100:x:200:\nbroken:x\n";
        for (wanted, expected) in [
            ("users", Some("users")),
            ("0", Some("root")),
            ("100", Some("100")),
            ("200", Some("100")),
            ("4242", Some("4242")),
            ("broken", None),
            ("nobody", None),
        ] {
            assert_eq!(group(groups, wanted).as_deref(), expected, "{wanted:?}");
        }
    }
}
