//! Texts in other languages than words of one token each: what a model writes there has characters of several
//! tokens, and tokens of several words.

use crate::catalog::Encoding;
use crate::simulate::Language;

use super::words::{Text, mix};

/// Writes about `tokens` tokens, never more; which, tells the seed.
pub(super) fn text(language: Language, seed: u64, (tokens, encoding): (u64, Encoding)) -> Text {
    let phrases = match language {
        Language::Words => return Text::Words { seed, count: tokens },
        Language::Chinese => &CHINESE,
        Language::Emoji => &EMOJI,
        Language::Code => &CODE,
    };
    let mut written = String::new();
    for place in 0..tokens.div_ceil(LEAST) {
        let number = mix(seed ^ mix(place)) % phrases.len() as u64;
        let phrase = usize::try_from(number).ok().and_then(|number| phrases.get(number));
        written.push_str(phrase.copied().unwrap_or_default());
    }
    Text::given(&written, encoding).within(tokens).0
}

/// Each phrase has at least so many tokens.
const LEAST: u64 = 6;

const CHINESE: [&str; 8] = [
    "春天的雨下了整整一夜，早晨的街道闪着光。",
    "他把信折好，放进抽屉，再也没有打开过。",
    "山脚下有一座小村庄，那里的人都认识彼此。",
    "火车晚点了二十分钟，站台上挤满了旅客。",
    "我们讨论了很久，最后决定明天再去。\n",
    "這本書的作者寫道：「時間會回答一切。」",
    "海边的风很大，孩子们追着风筝跑。",
    "龘靐齉爩，這些字很少有人會寫。",
];

const EMOJI: [&str; 8] = [
    "👩‍🚀🚀🌕 three, two, one! 🎉",
    "🍎🍊🍇🍓 → 🥤 😋",
    "👨‍👩‍👧‍👦 at the 🏖️ with 🐕‍🦺 ",
    "🏳️‍🌈🇪🇺🇯🇵🇧🇷 ",
    "😂😂😂 no way 🙈🙉🙊",
    "🧑🏽‍💻 ships it 🛳️✅ ",
    "🌧️☔🌤️🌈 what a day ",
    "♟️ e4 e5 ♞f3 🤔⏳ ",
];

const CODE: [&str; 8] = [
    "def mean(values):\n    return sum(values) / len(values)\n\n",
    "for (let i = 0; i < rows.length; i++) {\n\tout.push(`${rows[i].id}\\n`);\n}\n",
    "SELECT name, COUNT(*) FROM orders WHERE total > 9.99 GROUP BY name;\n",
    "if err != nil {\n\t\treturn fmt.Errorf(\"open %q: %w\", path, err)\n\t}\n",
    "let found = map.get(&key).copied().unwrap_or_default();\n",
    "{\"id\": 17, \"tags\": [\"a\", \"b\"], \"at\": null}\n",
    "<li class=\"row\"><a href=\"/x?y=1&amp;z=2\">\u{a0}&raquo;</a></li>\n",
    "        # TODO: 0x7f & ~mask, see the header\n        x ^= (x >> 12) | 0b1010;\n",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_nearly_as_many_tokens_as_are_asked_for_and_never_more() {
        for encoding in [Encoding::O200k, Encoding::Cl100k] {
            for language in [Language::Chinese, Language::Emoji, Language::Code, Language::Words] {
                for seed in 0..20 {
                    let text = text(language, seed, (400, encoding));
                    let tokens = text.tokens();
                    assert!((390..=400).contains(&tokens), "{language:?}: {tokens}");
                    assert_eq!(text.whole().chars().filter(|it| *it == '\u{fffd}').count(), 0);
                }
            }
        }
    }
}
