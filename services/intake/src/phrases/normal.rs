//! One form for texts that mean the same to a reader: for English and Arabic as people type them.
//!
//! NFKC and lower case; tashkeel, tatweel, bidirectional controls and other invisible characters dropped; the forms
//! of alef, yeh, kaf and teh marbuta unified; Arabic-Indic digits as ASCII. It is for comparing only: the text as
//! it was typed is kept elsewhere.

use unicode_normalization::UnicodeNormalization as _;

/// A text's words in the normal form, one space between them, with nothing else: “حَذْفُ  بياناتى!” → “حذف بياناتي”.
#[must_use]
pub fn normal_form(text: &str) -> String {
    let separated: String = folded(text)
        .filter(|character| !is_apostrophe(*character))
        .map(|character| if is_word(character) { character } else { ' ' })
        .collect();
    separated.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The characters of a text in the normal form, with punctuation and white space as they are.
pub(super) fn folded(text: &str) -> impl Iterator<Item = char> {
    text.nfkc()
        .flat_map(char::to_lowercase)
        .filter(|character| !is_silent(*character))
        .map(fold)
}

/// What words are made of. The underscore is one of them, so that `delete_my_data` is one word.
pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Apostrophes inside words are dropped: “don't”, “don’t” and “dont” are one word.
pub(super) fn is_apostrophe(character: char) -> bool {
    matches!(character, '\'' | '’' | '‘' | 'ʼ')
}

fn fold(character: char) -> char {
    match character {
        'أ' | 'إ' | 'آ' | 'ٱ' | 'ٲ' | 'ٳ' => 'ا',
        'ى' | 'ی' | 'ې' | 'ئ' => 'ي',
        'ؤ' => 'و',
        'ة' | 'ۀ' | 'ہ' => 'ه',
        'ک' => 'ك',
        '٠'..='٩' => digit(character, '٠'),
        '۰'..='۹' => digit(character, '۰'),
        other => other,
    }
}

fn digit(character: char, zero: char) -> char {
    char::from_digit(u32::from(character) - u32::from(zero), 10).expect("the caller matched ten digits")
}

/// What no reader sees, or what Arabic writers leave out.
fn is_silent(character: char) -> bool {
    matches!(character,
        '\u{0610}'..='\u{061A}' | '\u{064B}'..='\u{065F}' | '\u{0670}'                  // tashkeel
        | '\u{06D6}'..='\u{06DC}' | '\u{06DF}'..='\u{06E4}' | '\u{06E7}' | '\u{06E8}'   // Koranic marks
        | '\u{06EA}'..='\u{06ED}' | '\u{08D3}'..='\u{08FF}'
        | '\u{0640}'                                                                    // tatweel
        | '\u{00AD}' | '\u{034F}' | '\u{180E}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'   // invisible
        | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}'
        | '\u{061C}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{206F}'                // bidirectional controls
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_the_same_is_the_same() {
        for (typed, normal) in [
            ("احذف بياناتي", "احذف بياناتي"),
            ("اِحْذِفْ  بَيَانَاتِي", "احذف بياناتي"),
            ("إحذف بياناتى!", "احذف بياناتي"),
            ("احـــذف بيـاناتي", "احذف بياناتي"),
            ("\u{202B}احذف\u{200F} بيا\u{200B}ناتي\u{202C}", "احذف بياناتي"),
            ("ﺍﺣﺬﻑ ﺑﻴﺎﻧﺎﺗﻲ", "احذف بياناتي"),
            ("أزِيلُوا الصُّورة، ٢٠٢٦/۰۵", "ازيلوا الصوره 2026 05"),
            ("گ کتاب یاد", "گ كتاب ياد"),
            ("  Don’t\tDELETE\nmy\u{00AD} data…", "dont delete my data"),
            ("Ｄｅｌｅｔｅ—my_data (e-mail)", "delete my_data e mail"),
            ("!؟ … 🙏", ""),
        ] {
            assert_eq!(normal_form(typed), normal, "{typed}");
            assert_eq!(normal_form(normal), normal, "the normal form is its own");
        }
    }
}
