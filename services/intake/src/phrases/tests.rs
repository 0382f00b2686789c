//! Tables of what people type. A row that is read wrongly is either somebody's data destroyed or somebody's right lost,
//! so a new row is the way to report either.

use super::*;

/// The rights that a message exercises, and the message; `\n` is a new line.
const ENGLISH: &str = "
deletion | delete my data
deletion | Delete my data!
deletion | Please delete my data.
deletion | PLEASE DELETE ALL MY DATA NOW
deletion | Hi, I want you to delete my personal data.
deletion | hello team please erase all of my information from your systems
deletion | I would like to have... no. Delete my data
deletion | I'd like to delete my data
deletion | I’d like you to remove my personal information from your database
deletion | I can't log in any more please delete my data
deletion | I don't want this anymore, please delete my data
deletion | I don't want this anymore, delete my data
deletion | I don't know how you got my number, please delete my data
deletion | my name is Sara and i want to delete my data
deletion | can you please delete my data?
deletion | Could you delete my data, please?
deletion | delete everything you have about me
deletion | Request: delete my data
deletion | I hereby request the erasure of my personal data under Article 17 GDPR.
deletion | I want my data deleted
deletion | I want to exercise my right to be forgotten
deletion | please cancel my order and delete my data
deletion | I want to close my shop and delete my data
deletion | delete my data and don't contact me again
deletion | Delete my account and all my data
deletion | *delete my data* 🙏
deletion | yes, delete my data
deletion | Never mind the order, delete my data
deletion | No. Delete my data
deletion | Delete my data as soon as possible
deletion | remove me from your database please
deletion | hello\\ndelete my data\\nthanks
deletion | I asked you last week, please delete my data
deletion | /delete_my_data
deletion |  /Delete_My_Data@SmartReplyBot 
access | /my_data
access | send me a copy of my data
access | Please send me all my personal data
access | What personal data do you hold about me?
access | I want a copy of my data
access | I would like to access my personal data
access | I request access to my personal data
portability | send me my data in a machine readable format
opt_out | Do not sell my personal information
opt_out | Don't sell or share my data
opt_out | opt me out
objection | unsubscribe me
objection | stop sending me marketing messages
objection | I object to the processing of my personal data
consent_withdrawal | I withdraw my consent
consent_withdrawal | I want to withdraw my consent
correction | please correct my personal data
access deletion | Delete my data and send me a copy of my data
access deletion | Please delete my data. But first send me a copy of my data.
opt_out deletion | do not sell my data and delete my data
deletion | I am writing to request that you delete my data
deletion | I am writing to you to request the deletion of my personal data.
deletion | This is a formal request for the deletion of all my personal data
deletion | I already told you, delete my data
deletion | as I said before, please delete my data
access | do not delete my data, send me a copy of my data
deletion | DELETE MY DATA
deletion | pls delete my data
deletion | delete my data pls
deletion | Delete all of my personal information immediately.
deletion | ok delete my data
deletion | hi please remove all my data from your system
deletion | I request that you delete my data
deletion | Good morning. I request deletion of all my personal data. Thank you
deletion | My name is X.\\nI bought a cake in May.\\nPlease delete all my data.
deletion | you keep spamming me!! delete my data
deletion | I'm done. Delete my info.
deletion | Under the GDPR, I request the erasure of my personal data.
deletion | please delete my data, my number is +970591234567
deletion | delete my data from your system, my email is a.b@mail.test
deletion | please forget everything about me
deletion | I’d like all my data to be erased.
deletion | Your service is bad. please delete my data, thanks
deletion | Delete my account and my data.
access | hello, can you please send me a copy of my data?
access | show me what data you have about me
access | which information do you store on me?
objection | please take me off your mailing list
consent_withdrawal | I hereby revoke my consent.
";

/// What only looks like a request.
const NOT_ENGLISH: &str = "
don't delete my data
Please don't delete my data
Do not, under any circumstances, delete my data
Please don't, in any case, delete my data
how can i, as a user, delete my data
please do not ever delete my data
I don't want you to delete my data
I don't want you to\\ndelete my data
I never said I want to delete my data
how do I delete a photo
How do I delete my data?
how can I delete my data
How can I, as a user, delete my data?
What happens if I delete my data?
Can you delete my data?
can you delete my data
do you delete my data after a year?
Why did you delete my data
you deleted my data!
They delete my data every month
He said \"delete my data\"
he said: delete my data
He said, delete my data
“delete my data” he wrote
To leave, type delete my data
the delete my data button does not work
I clicked delete my data but nothing happened
delete my data plan
delete my data usage history
My friend wants to delete my data
She thinks I want to delete my data
maybe I want to delete my data
If you don't refund me, delete my data
delete my data if I don't pay by Friday
delete my data... just kidding
Delete my data. Actually wait
Delete my data. Don't!
delete my data, no don't
Delete my data? No!
~delete my data~
> delete my data\\nwhat is this?
1. Delete my data\\n2. Export my data
Options: delete my data, export my data
- delete my data\\n- export my data
you promised to delete my data
delete my order
delete this message
I want to delete my photo
is it possible to delete my data?
I want to know how to delete my data
please tell me how to delete my data
please confirm you will never delete my data
delete my data-base
delete_my_data
/delete_my_data please
/start
Do you sell my data?
I did not withdraw my consent
how do I unsubscribe me
could you tell me what data is
send me my order
thanks for the data
Should I delete my data?
delete my
She said to me, please delete my data
I told him to delete my data
They asked whether to delete my data
You should never have agreed to delete my data
I regret that I asked you to delete my data
Thank you for your offer to delete my data
Thanks, but I don't need you to delete my data
no need to delete my data
There is no reason to delete my data
Who can delete my data?
I would hate it if you delete my data
Please explain what \"delete my data\" means
What does delete my data mean
please, how do I delete my data?
Please how can i delete my data
Please help me delete my data from my phone
please help, I want to know, how to delete my data
will you please not delete my data?
please, do not delete my data
Please don't just delete my data
I'm afraid you will delete my data
before you delete my data, call me
Delete my data after my order has arrived
delete my data only when I say so
delete my data? I would never
was it you who decided to delete my data
My lawyer told me you must delete my data
the law says you have to delete my data
Your app asks \"delete my data?\" every time
The option \"delete my data\" is missing
I can't find delete my data
is there a delete my data option
where is the delete my data button
delete my data button missing
I do not want a copy of my data
don't send me my data
send me my data bundle
give me my data back plan
I don't opt out
don't unsubscribe me
please do not unsubscribe me
how do I opt out
why would I withdraw my consent
I will not withdraw my consent
she will withdraw my consent
should i opt out?
I do not want to delete my data
I no longer want to delete my data
i dont wanna delete my data
Please stop asking me to delete my data
please ignore: delete my data
I was going to say delete my data but no
delete my data, said nobody ever
The message \"please delete my data\" was sent by my kid
my son typed please delete my data
test: delete my data not for real
delete my data lol just kidding
Delete my data!\\nJK
Do not worry, I won't ask you to delete my data
Can I delete my data? Please?
Would it be possible to delete my data
I am not writing to request that you delete my data
this is not a request to delete my data
This is a joke request to delete my data
I hope you delete my data
you can delete my data
I allow you to keep, not delete my data
keep my data, do not delete my data
do not delete my data, send me my order
Not now but later delete my data
I do want you to keep and not delete my data
delete my data or not?
delete my data or keep it
un-delete my data
can't you delete my data
why don't you please delete my data
Never delete my data please
please never delete my data
please under no circumstances delete my data
Under no circumstances, please, delete my data
nobody should delete my data
No one may delete my data
It says: \"Click here to delete my data\".
“I want you to delete my data” — that is what he wants
My colleague: delete my data
John: delete my data
I told my wife, delete my data
Tell them please delete my data
My friend wants you to please delete my data
";

const ARABIC: &str = "
deletion | احذف بياناتي
deletion | احذفوا بياناتي
deletion | اِحْذِفُوا بَيَانَاتِي
deletion | لو سمحت احذف بياناتي
deletion | لو سمحتوا احذفوا كل بياناتي
deletion | مرحبا، بدي احذف بياناتي
deletion | بدي تحذفوا بياناتي لو سمحتوا
deletion | بدي اياكم تحذفوا بياناتي
deletion | أريد حذف بياناتي
deletion | أريد أن تحذفوا بياناتي
deletion | أرغب في حذف جميع بياناتي الشخصية
deletion | الرجاء حذف بياناتي من عندكم
deletion | يرجى حذف معلوماتي
deletion | طلب حذف بياناتي
deletion | أطلب منكم حذف كافة بياناتي
deletion | امسحوا بياناتي فورا
deletion | شيلوا معلوماتي من عندكم
deletion | امسحولي بياناتي
deletion | السلام عليكم، اسمي سارة، لو سمحت امسح بياناتي
deletion | السلام عليكم ورحمة الله وبركاته أريد حذف بياناتي
deletion | ممكن تحذفوا بياناتي لو سمحتوا
deletion | هل ممكن تحذفوا بياناتي من فضلكم؟
deletion | احذف حسابي وبياناتي
deletion | احذفوا بياناتي ولا تتصلوا فيي
deletion | ما بدي رسائل، احذفوا بياناتي
deletion | ما بدي رسائل من فضلكم احذفوا بياناتي
deletion | وقفوا الرسائل لو سمحتوا واحذفوا بياناتي
deletion | احذفوا كل شي عندكم عني
deletion | لا. احذفوا بياناتي
deletion | ﺍﺣﺬﻑ ﺑﻴﺎﻧﺎﺗﻲ
deletion | احـــذف بيـاناتى!!
access | ابعتولي نسخة من بياناتي
access | بدي نسخة من بياناتي
access | أريد الحصول على نسخة من بياناتي الشخصية
access | شو البيانات اللي عندكم عني؟
access | أرسلوا لي كل بياناتي
opt_out | لا تبيعوا بياناتي
objection | وقفوا الرسائل الدعائية
objection | لا ترسلوا لي رسائل اعلانية
consent_withdrawal | أسحب موافقتي
consent_withdrawal | بدي اسحب موافقتي
correction | لو سمحت صححوا بياناتي
access deletion | ابعتولي نسخة من بياناتي واحذفوا بياناتي
deletion | وصلتني رسالة منكم، احذفوا بياناتي
deletion | يرجى منكم حذف بياناتي
deletion | ياريت تحذفوا بياناتي
deletion | لو سمحت بدي احذف كل معلوماتي من عندكم
deletion | انا بدي تمسحوا بياناتي
deletion | بدي حذف بياناتي
deletion | احذفو كل بياناتي الشخصيه حالا
deletion | رجاءً امسحوا معلوماتي
deletion | إحذف بياناتي من فضلك
deletion | مرحبا لو سمحت احذفلي بياناتي
deletion | خلص، احذفوا بياناتي
deletion | زهقت منكم!! احذفوا بياناتي
deletion | احذف كل البيانات الخاصة بي
deletion | ارغب بحذف بياناتي
deletion | اطالب بحذف بياناتي
deletion | بدي احذف بياناتي وشكرا
access | لو سمحتوا ابعثولي نسخة عن بياناتي
access | بدي اعرف شو المعلومات اللي عندكم عني
";

const NOT_ARABIC: &str = "
لا تحذف بياناتي
لا تحذفوا بياناتي
ما تحذفوا بياناتي
لا احذف بياناتي
لا، احذف بياناتي
الرجاء عدم حذف بياناتي
أرجو ألا تحذفوا بياناتي
لو سمحت لا تحذف بياناتي
ما بدي احذف بياناتي
ما بدي تحذفوا بياناتي
مش بدي احذف بياناتي
لا أريد حذف بياناتي
كيف احذف بياناتي
كيف أحذف بياناتي؟
كيف بدي احذف بياناتي
هل تحذفون بياناتي
هل احذف بياناتي؟
ممكن احذف بياناتي؟
ممكن تحذفوا بياناتي؟
ليش بدكم حذف بياناتي
تم حذف بياناتي
من حذف بياناتي؟
حذف بياناتي
سبب حذف بياناتي
قال احذف بياناتي
قال: «احذف بياناتي»
قالت لي، احذف بياناتي
\"احذف بياناتي\"
اكتب احذف بياناتي
اضغط على زر احذف بياناتي
اذا ما رجعتوا المصاري احذفوا بياناتي
احذفوا بياناتي اذا ما دفعت
احذف بياناتي... بمزح
احذفوا بياناتي. لا خلص
صاحبي بده حذف بياناتي
يمكن بدي احذف بياناتي
بفكر احذف بياناتي
احذف بياناتي كل يوم
كيف أحذف صورة
احذف الصورة
احذف الطلب
بدي احذف حسابي
احذف بياناتي ولا لا؟
لا تحذفوا، بياناتي مهمة
هل تبيعوا بياناتي؟
بياناتي مهمة
لا تسحب موافقتي
انا احذف بياناتي
رح احذف بياناتي
لا تمسحوا بياناتي
ما تمسح معلوماتي
أوعك تحذف بياناتي
إياكم تحذفوا بياناتي
ماتحذفوا بياناتي
لاتحذف بياناتي
بديش احذف بياناتي
ما بديش تحذفوا بياناتي
مو حابب احذف بياناتي
ليش حذفتوا بياناتي
مين طلب حذف بياناتي؟
هل طلبت حذف بياناتي
لم أطلب حذف بياناتي
ما طلبت حذف بياناتي
لن أطلب حذف بياناتي
أنا لا أريد أن تحذفوا بياناتي
لا أريد\\nحذف بياناتي
بعد حذف بياناتي شو بصير
شو بصير لو احذف بياناتي
اذا بدي احذف بياناتي شو اعمل
شو لازم اعمل عشان احذف بياناتي
وين بقدر احذف بياناتي
بقدر احذف بياناتي؟
بدي اعرف كيف احذف بياناتي
لو سمحت كيف احذف بياناتي
لو سمحت كيف بدي احذف بياناتي؟
ممكن اعرف كيف احذف بياناتي لو سمحت
خيار احذف بياناتي مش موجود
كبست على احذف بياناتي وما صار شي
انا كتبت احذف بياناتي بالغلط
الموظف حكالي احذف بياناتي
زوجي بده تحذفوا بياناتي
بدون حذف بياناتي
الرجاء عدم مسح معلوماتي
من فضلكم لا تحذفوا بياناتي
أرجو منكم عدم حذف بياناتي
أرجو أن لا تحذفوا بياناتي
لو سمحتوا بلاش تحذفوا بياناتي
ممنوع حذف بياناتي
احذفوا بياناتي بعد ما توصل الطلبية
احذفوا بياناتي أو خلوها
قررت احذف بياناتي بس غيرت رأيي
احذفوا بياناتي. تراجعت
بدي احذف بياناتي من تلفوني كيف؟
مش عارف كيف احذف بياناتي
صورتي احذفها
احذف منشوري
لا تبعتولي نسخة من بياناتي
ما بدي نسخة من بياناتي
مين اللي عنده بياناتي
هل اسحب موافقتي؟
لا أسحب موافقتي
كيف اسحب موافقتي
متى حذف بياناتي
احذفوا
بياناتي
بتحذفوا بياناتي
بتحذفوا بياناتي لو سمحت؟
ليش ما تحذفوا بياناتي
ليش ما تحذفوا بياناتي لو سمحتوا
صاحبي بده لو سمحت تحذفوا بياناتي
";

fn rows(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.is_empty())
}

fn rights(book: &PhraseBook, message: &str) -> String {
    let found = book.rights_of(&message.replace("\\n", "\n"));
    found
        .iter()
        .map(|found| found.right.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn reads_the_rights_that_a_message_exercises() {
    let book = PhraseBook::default();
    let wrong = rows(ENGLISH).chain(rows(ARABIC)).filter(|row| {
        let (expected, message) = row.split_once(" | ").unwrap();
        rights(&book, message) != expected
    });
    assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn leaves_alone_what_only_looks_like_a_request() {
    let book = PhraseBook::default();
    let wrong = rows(NOT_ENGLISH)
        .chain(rows(NOT_ARABIC))
        .filter(|message| !rights(&book, message).is_empty());
    assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
}

/// Behind each of these, a request of one sentence is none any more.
#[test]
fn a_condition_or_a_retraction_takes_every_request_back() {
    let book = PhraseBook::default();
    let single = |message: &str| !message.contains(['/', '.', '!']) && !message.contains("\\n");
    let requests = rows(ENGLISH)
        .chain(rows(ARABIC))
        .filter_map(|row| row.split_once(" | "));
    let requests: Vec<_> = requests
        .map(|(_, message)| message.trim_end_matches(['.', '!', '?', '؟']))
        .filter(|message| single(message))
        .collect();
    assert!(requests.len() > 90);
    for end in [
        "\n\nNever mind",
        " ... just kidding",
        "؟ لا خلص",
        " - if you don't answer",
        "، اذا ما رديتوا",
    ] {
        let standing = requests
            .iter()
            .filter(|message| !rights(&book, &format!("{message}{end}")).is_empty());
        assert_eq!(
            standing.collect::<Vec<_>>(),
            [""; 0].iter().collect::<Vec<_>>(),
            "{end}"
        );
    }
}

/// The text of the WhatsApp vector, as its JSON escapes spell it.
#[test]
fn says_which_phrase_it_was() {
    let book = PhraseBook::default();
    let text = "\u{627}\u{62d}\u{630}\u{641} \u{628}\u{64a}\u{627}\u{646}\u{627}\u{62a}\u{64a}";
    let (right, phrase_id, language) = (Right::Deletion, "ar.delete_my_data", "ar");
    assert_eq!(
        book.right_of(text),
        Some(Match {
            right,
            phrase_id,
            language
        })
    );
    let (phrase_id, language) = ("command.delete_my_data", "und");
    assert_eq!(
        book.right_of("/delete_my_data"),
        Some(Match {
            right,
            phrase_id,
            language
        })
    );
}

#[test]
fn the_longest_and_the_strangest_messages_end() {
    let book = PhraseBook::default();
    for part in [
        "delete my data ",
        "please ",
        "i want to ",
        "و",
        "\"",
        "\n>",
        "\u{200B}",
        "!?",
        "😀 ",
    ] {
        assert!(book.rights_of(&part.repeat(5_000)).len() < 2);
    }
    assert_eq!(rights(&book, ""), "");
    let request_behind_the_limit = "hello. ".repeat(600) + "Delete my data";
    assert_eq!(rights(&book, &request_behind_the_limit), "");
}

#[test]
fn a_deployment_may_bring_its_own_words() {
    let words = "courtesies=[]\njoints=[]\nfillers=[]\nlead_ins=[]\nmodals=[]\nfollowers=[]\ndangling=[]";
    let guards = "negations=['nicht']\nquestions=[]\nconditions=[]\nreports=[]\ncancellations=[]";
    let phrase = "id='de.löschen'\nlanguage='de'\nright='deletion'\nsaid=['{löscht|löschen sie} meine daten']";
    let book = format!("[[language]]\ncode='de'\n{words}\n[language.guards]\n{guards}\n[[phrase]]\n{phrase}");
    let book = PhraseBook::parse(&book).unwrap();
    assert_eq!(rights(&book, "Löschen Sie meine Daten!"), "deletion");
    assert_eq!(rights(&book, "Löscht nicht meine Daten!"), "");
}
