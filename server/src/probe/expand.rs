//! `$(NAME)` in the command of an exec probe, as the kubelet's `third_party/forked/golang/expansion` reads it.

/// Replaces `$(NAME)` where the name is known, and leaves it where it is not. `$$` stands for `$`, so that `$$(NAME)`
/// is never replaced.
pub(super) fn expand<'a>(input: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = &from[1..];
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) =
            after.strip_prefix('(').and_then(|it| it.split_once(')'))
        {
            match value(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&from[..name.len() + 3]),
            }
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn known_names_are_replaced_and_all_else_stays() {
        let value = |name: &str| match name {
            "A" => Some("1"),
            "B" => Some("$(A)"),
            "EMPTY" => Some(""),
            _ => None,
        };
        for (input, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(B)", "$(A)"),
            ("$(EMPTY)", ""),
            ("$(NOT)", "$(NOT)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$", "$"),
            ("$", "$"),
            ("a$", "a$"),
            ("$x", "$x"),
            ("$(A", "$(A"),
            ("$()", "$()"),
            ("$($(A)", "$($(A)"),
            ("ü$(A)ü", "ü1ü"),
        ] {
            assert_eq!(expand(input, value), expected, "{input}");
        }
    }
}
