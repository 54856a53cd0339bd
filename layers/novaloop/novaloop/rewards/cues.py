"""The words that say how a label is meant: denied, left open, stated; in the languages we know.

All are matched against folded text: lower case, NFKC, hyphens for dashes, "'" for apostrophes.
Where a word may deny or not, it stands with those that leave open, since a label that isn't read
costs less than a wrong one.
"""

from __future__ import annotations

import re

# ruff: noqa: RUF001 - letters of other scripts are meant


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Each of these in the clause before a label denies it.
DENYING = _words(
    """
    no not never neither nor none non cannot cant isnt wasnt arent doesnt dont didnt wouldnt couldnt
    shouldnt wont without hardly scarcely barely rarely seldom far doubt doubts doubtful unlikely
    impossible instead than except excluding excludes exclude excluded rejected reject rejecting
    rejects dismissed dismiss eliminated eliminate eliminating discarded discard lacks lack lacking
    fails failed fail short contrary opposite wrong incorrect false nothing nobody nowhere unable
    below besides beneath beyond apart outside away
    refuse avoid misses stops stopped ceased denied mistake little absent zero disagree
    disagrees disagreed stretch
    mitnichten allesbehalve gegenteil entfernt
    nicht nichts kein keine keiner keinen keinem keines keineswegs weder noch nie niemals statt
    anstatt kaum anstelle
    ne ni plus jamais aucun aucune aucunement nullement guère sauf lieu sans
    rien peu loin difficilement contraire
    nada poco lejos difícilmente longe lontano niente nient'affatto tutt'altro
    bynajmniej daleki inte ikke ei není neni tidaklah jauh δεν לא отсутствует
    tampoco nunca jamás jamas lugar vez ninguno ninguna sin apenas
    não nao nem nenhum nenhuma invés sem mai né invece senza niet geen nooit
    не ни нет нельзя вместо никогда отнюдь вовсе न ना नहीं मत
    ليس ليست لا لم لن غير بدلا بدلاً وليس وليست ولا ما دون
    değil nie bukan tidak không chẳng
    """
)
# Each of these in the clause before a label leaves it open: weighed, supposed, compared.
OPENING = _words(
    """
    becomes become becoming resembles half partly partially otherwise else
    if whether unless could might may perhaps maybe possibly either between both consider considers
    considered considering thought tempted initially borderline nearly almost close versus vs
    compared unlike traits elements aspects hints signs you'd touch chance unsure uncertain unclear
    too hard difficult confidence certainty hesitate hesitated first seemed appeared suspected guess
    options until
    alternatively conceivably arguably although though while despite assuming provided claims
    claimed used less fewer supposedly allegedly whereas potential potentially suppose supposing
    ob wenn vielleicht möglicherweise könnte eventuell entweder oder zwischen eher
    si pourrait peut-être soit entre podría podria quizás quizá talvez tal poderia pode puede
    может возможно если ли либо между было бы शायद अगर यदि قد ربما إذا هل اذا belki eğer
    """
)
# The last clause before a label begins after one of these.
BREAK = re.compile(
    r"[.;!?\n:,()/|>\u2014\u2192\u2026。、।،؛؟\[\]{}]"
    r"|\b(?:but|so(?!\s+much\b)|therefore|thus|hence|because|since|however|leaves|leaving|then"
    r"|sondern|also|aber|daher|mais|donc|car|sino|pero|porque|mas|portanto|bem|а|но|поэтому|ama)\b"
    r"|बल्कि|(?<!\w)(?:بل|لكن)(?!\w)"
    r"|而是|但|因为|所以|却|只是|なく|なので"
    r"|แต่|เพราะ"
)
ALL_BUT = re.compile(
    r"\b(?:anything|everything|all) (?:\w+ )?but\b|\balles andere als\b|\btod[oa] menos\b"
    r"|\btudo menos\b|\btout sauf\b"
)
ELIDED = re.compile(r"(?:^|\s)n'|\brul(?:e|es|ed|ing)\s+out\b")
FREE_OF = re.compile(r"\bfree\s+(?:of|from)\b")
# What takes back the label before.
CORRECTED = re.compile(
    r"(?:^|[.!?;\n(\u2014,]|\s-+\s)[\s*_`]*(?:no,?\s+)?(?:correction|edit|update|revised|amended|wait|hmm|oops|sorry"
    r"|no|scratch\s+that|just\s+kidding|i\s+mean|actually|on\s+(?:second\s+thought|reflection)"
    r"|upon\s+reflection|in\s+fact|changed\s+to|make\s+that)\b[\s*_`]*[:,;.!-][^.;!?\n]{0,40}\Z"
    r"|(?:->|\u2192)\s*changed\s+to\s+\Z"
)
# Between two answers, says that the second takes the place of the first.
RECONSIDERED = re.compile(
    r"\b(?:wait|hmm|oops|sorry|actually|instead|correction|corrected|mistaken?|scratch\s+that"
    r"|on\s+(?:second|further|closer)|upon\s+reflection|re-?(?:consider|check|read|evaluat|examin"
    r"|think|vis)\w*|(?:was|is)\s+(?:wrong|incorrect|too)|let\s+me|chang(?:e|ed|ing)\s+my|final(?:ly)?)\b"
)
# What stands before a label that is written behind a word for it, as in a form.
HEADING = re.compile(
    r"(?P<last>\b(?:final|overall|corrected|revised|updated|new|true|actual)[^\S\n]+)?"
    r"(?P<noun>\b[^\W\d_]+)[\s*_`\"')]*[:=|][\s\"'`*_(\[{<$]*\Z"
)
# What somebody else said: its labels are not the answer's.
REPORTED = re.compile(
    r"(\b(?:says?|said|saying|writes?|wrote|written|claims?|claimed|states?|stated|told|asks?|asked"
    r"|reads|replied|title|titled|subject|headline|quotes?|quoted|phrase)\b[\s:,-]*)"
    r"(?:\"[^\"\n]{0,500}\"|\u201c[^\u201d\n]{0,500}\u201d|\xab[^\xbb\n]{0,500}\xbb)"
)
# Where such words are none of the labels that are written alike.
IDIOM = re.compile(
    r"()(?:\b(?:good|great|excellent|fair|interesting)\s+question\b(?=\s*[.!,])|\bpositive\s+that\b"
    r"|\b(?:yes|no|sure),?\s+(?:(?:i|we)(?:\s+can|'d|'ll|\s+will|\s+would)\s+(?:\w+\s+)?(?:help"
    r"|assist|look|check|happy|glad)|let\s+me|problem|worries)\b)"
)
# Signs of logic, which stand at the label itself.
NEGATED = re.compile(r"(?:(?<!\w)!|\xac|\bnot\s?\()\Z")
UNEQUAL = re.compile(r"\s*(?:!=|\u2260)\s?\Z")
OPENED = " *_`\"'([\n\t"
# What is given as something else than the answer.
SET_ASIDE = re.compile(
    r"\b(?:second(?:ary)?|2nd|third|3rd|tertiary|runner-up|alternat(?:e|ive)|rejected|excluded|wrong"
    r"|incorrect|worst|other|previous|former|old|possible|tentative|backup|fallback|next-best|second-best)"
    r"\s+(?:answer|category|class|classification|label|prediction|choice|option|guess|candidate"
    r"|topic|intent)s?[\s*_`\"']*(?::|=|\bis\b|\bwas\b)[\s*_`\"'(\[]*\Z"
    r"|\b(?:confidence|certainty|probability|likelihood|difficulty)(?:\s+(?:level|score))?"
    r"[\s*_`\"']*(?::|=|\bis\b|-)[\s*_`\"'(\[]*\Z"
    r"|\bp\s?\(\s*\Z"
)
VERDICT_BEFORE = re.compile(
    r"\b(?:wrong|incorrect|not|no|false|rejected|excluded|unlikely)\s*:\s*\Z"
)
# Denials in scripts that are written without spaces, and what only looks like one.
DENYING_UNSPACED = re.compile(
    r"不(?![仅但过错断如])|难以|很难|排除|缺乏|假装|别说|与其说|與其說|非(?!常)|没(?!问)|未"
    r"|无(?![疑论])|無|沒|否|ไม่|มิ"
)
OPENING_UNSPACED = re.compile(
    r"可能|看似|乍看|表面上|也许|或许|如果|是否|还是|要么"
    r"|假如|介于|既|大概|恐怕|おそらく|아마|혹시|无法|もし|たぶん"
    r"|อาจ|ถ้า"
)
_SUBJECT = r"(?:(?:category|label|class|option|answer|one|it|question|post|review|rating)s?\s+)?"
_BE = (
    r"(?:is|was|are|were|be|does|do|did|can|could|would|should|will|has|have|seems?|looks?"
    r"|appears?|sounds?)"
)
# What denies a label from behind.
DENIED_BEHIND = re.compile(
    rf"\s*{_SUBJECT}(?:{_BE}\s*(?:be\s+)?(?:\w+ly\s+|also\s+|just\s+)?"
    r"(?:n't\b|not\b|never\b|no\s+longer|hardly|far|out\b|wrong|incorrect|unlikely|excluded|ruled"
    r"|impossible|inappropriate|unsuitable|inapplicable|false|eliminated|off\b|rejected|invalid"
    r"|improbable|implausible|too\b)"
    r"|(?:it|that|this)\s+(?:is|was)\s*(?:n't|not)\b|isnt\b|wont\b|(?:fails|failed)\b"
    r"|(?:unlikely|wrong|incorrect|excluded|rejected|impossible|ruled\s+out|out)\s*(?:$|[.,;)\n])"
    r"|(?:ist|wäre|war|passt|trifft|scheint)\s+(?:(?:es|das|dies|hier|der|die|\w+)\s+){0,2}nicht\b"
    r"|(?:wäre|ist)\s+übertrieben|kann\s+keine\s+rede|no\s+tiene\s+nada|sayılmaz|olmaktan\s+uzak"
    r"|نیست|이라고\s*할\s*수\s*없"
    r"|というより|nichts\b|(?:scheidet\s+aus|entfällt|kommt\s+nicht)\b"
    r"|est\s+exclue?|queda\s+descartad|(?:与|和)?无关|とは(?:関係|無)"
    r"|(?:과|와)는?\s*(?:무관|관련이\s*없)|nicht\b(?!\s+nur)|n'est\s+pas|ne\s+\w+\s+pas"
    r"|no\s+es|não\s+é|не\s+подходит|исключен"
    r"|(?:\S+\s+)?नहीं|के\s+बजाय|değil"
    r"|的?(?:说法)?(?:不对|不成立|不合适|被排除|可以排除)"
    r"|的?(?:情绪|情感|评价|成分|内容)?(?:不多|很少|极少|不强|不明显)"
    r"|的?(?:では|じゃ|とは|には|でも|で)(?:ありません|な)"
    r"|(?:的な?)?(?:とは|と)(?:言|い|思)\S{0,4}(?:ない|ません)"
    r"|(?:적)?(?:이|은|는|가|이지|이지는|으로|이라고)?\s*(?:보기(?:는|에는|엔|가)?\s*)?"
    r"(?:아니|아닙|아닌|않|못|어렵|힘들|아님)"
    r")"
)
_NO = (
    r"(?:no|wrong|incorrect|not\s+correct|unlikely|excluded|eliminated|rejected|ruled\s+out|out"
    r"|nope|nah|false|nein|non|não|нет|no\s+way|not\s+really|\u2717|\u2718|\u274c|\u00d7|\u2716|否"
    r"|不是|아니요|いいえ)"
)
_YES = (
    r"(?:yes|correct|right|true|absolutely|definitely|certainly|indeed|of\s+course|ja|oui|sí|sim|да"
    r"|\u2705|\u2713|\u2714|\u2611|是|はい|네)"
)
_VERDICT = r"[\s\"'*_`)\]]*[:=?|(-]*[\s*_`]*"
_ENDED = r"(?=[\s*_`]*(?:$|[.,;/|)\n}!]))"
ANSWERED_NO = re.compile(
    rf"{_VERDICT}{_NO}{_ENDED}|[\s\"'*_`)\]]*[:=|][\s*_`]*(?:none|n/a|n|absent){_ENDED}"
)
ANSWERED_YES = re.compile(rf"{_VERDICT}{_YES}{_ENDED}")
# What leaves a label open from behind: a condition, a definition, a text that was cut off.
OPEN_BEHIND = re.compile(
    r"\s*[吧吗呢か]?\s*\?|(?:的な?)?(?:です|でしょう)か"
    r"|\s+(?:scores?|probability|likelihood|confidence|certainty|odds)\b"
    r"|\s*\(?(?:not\s+sure|unsure|not\s+certain|maybe|perhaps|possibly|uncertain|a\s+guess)\b"
    rf"|[\s*_`\"')]*{_SUBJECT}(?:would\b(?!\s+(?:be\s+)?(?:the\s+)?(?:\w+ly\s+)?(?:best|correct"
    r"|right|appropriate|fit|most|my))|could\b|might\b|may\b|if\b|unless\b|requires?\b|needs?\b"
    r"|means\b|refers\b|is\s+(?:for|reserved|when|defined|used|tempting|possible|plausible)\b"
    r"|has\b|have\b|had\b|whether\b|seemed\b|was\s+meant|to\s+(?:say|assume)\b)"
    r"|\s+(?:questions|posts|reviews|texts|answers|tickets|comments|messages|examples|ones|labels"
    r"|cases|items)\b|\s+\w+\s+is\s+(?:tempting|possible|plausible)\b"
    r"|\S{0,3}(?:인지|일지|일까|일\s*수)|(?:的)?(?:かも|かどうか|の可能性)"
    r"|还是|的?吗|的可能|的?嫌疑|\s+mi\b|\s*हो\s+सकत|\s*या\b"
)
# A whole sentence that hangs on something.
HANGS = re.compile(
    r"\W*(?:(?:maybe|perhaps|possibly|возможно|quizás?|talvez|peut-être|vielleicht),|(?:if|assuming|provided|unless|except|once|suppose"
    r"|supposing|were|wenn|falls|si|если)\b"
    r"(?!\s+(?:anything|(?:i|we)\s+(?:had|have|must|were))))"
)
SO_IS = re.compile(r"\b(?:so\s+(?:can|is|does|are|do)|same\s+(?:goes|applies|is)|neither|nor)\b")
CUT_OFF = re.compile(r"\s*(?:or|and|/|,|oder|und|ou|et|o|y|e|или|и)\s*\Z")
# "it would be HQ" is an answer, unless something is missing for it.
SUPPOSED = re.compile(r"\b(?:would|'d)(?:\s+have)?\s+(?:be|been)\b")
CONDITION = re.compile(r"\b(?:if|with|had|once|were|unless|until|without|only|after)\b")
_NOUN = (
    r"(?:answer|category|class|classification|label|output|prediction|result|verdict|choice|pick"
    r"|decision|conclusion|sentiment|polarity|tone|rating|stance|intent|topic|relationship"
    r"|antwort|kategorie|klasse|ergebnis|einstufung|bewertung|stimmung"
    r"|réponse|catégorie|classe|étiquette|résultat"
    r"|respuesta|categoría|clase|etiqueta|clasificación|resultado|sentimiento"
    r"|resposta|categoria|rótulo|classificação|sentimento|risposta"
    r"|ответ|категория|класс|метка|результат|тональность|उत्तर|श्रेणी|वर्ग"
    r"|الإجابة|الجواب|التصنيف|الفئة|cevap|yanit|kategori)"
)
_IS = r"(?:is|was|(?:would|should|must|will|has\s+to)\s+be|ist|lautet|est|es|é|è|هو|هي|है)"
_OPENING = r"[\s\"'`*_(\[{:<$\\\u201c\u2018\u00ab\u300c\u3010]*\Z"
_FILLED = (
    r"(?:\s*(?:an?|the|clearly|therefore|thus|most\s+likely|likely|probably|option|choice)\b)*"
)
# An answer that says of itself that it is one; what follows is the label.
STATED = re.compile(
    rf"(?:\b{_NOUN}(?:(?:\s+\w+){{0,6}}?\s+{_IS}(?![^\W_])|[\s*_`\"')]*(?::|=|->|\u2192|\|))"
    r"|\bclassif\w+\s+(?:\w+\s+){0,4}as\b"
    r"|\b(?:categori[sz]ed|labell?ed|rated|marked|tagged|described|seen|considered)\s+as\b"
    r"|\b(?:falls\s+(?:\w+\s+)?(?:under|into|in)|belongs\s+(?:to|in|under)|qualifies\s+as"
    r"|counts\s+as)\b"
    r"(?:\s+the(?:\s+category)?)?"
    r"|\bi(?:\s+would|'d|'ll|\s+will|\s+have\s+to|\s+therefore|\s+must)?\s+(?:say|choose|pick|select"
    r"|go\s+(?:with|for)|opt\s+for|assign|label|rate|mark|call|tag|settle\s+(?:on|for)|conclude|chose|picked"
    r"|answer|vote\s+for)\b(?:\s+\w+){0,3}?(?:\s+(?:as|is|it's))?"
    r"|(?:答案|类别|分类|标签|结果|结论|情感|倾向)\S{0,4}?(?:是|为|:)"
    r"|(?:答え|回答|分類|カテゴリー?|ラベル|結論|結果)(?:は|:)"
    r"|(?:정답|답변|답|분류|카테고리|라벨|결과|감정)\s*(?:은|는|:)"
    r"|คำตอบ\s*(?:คือ|:)"
    r"|\bfinal[\s*_`]*:)"
    rf"{_FILLED}{_OPENING}"
)
STATED_BEHIND = re.compile(
    r"[\s\"'*_`)\]]*(?:is|seems|would\s+be|looks)\s+(?:clearly\s+|therefore\s+)?(?:the\s+)?"
    r"(?:clearly\s+)?"
    r"(?:most\s+|more\s+)?(?:best|correct|right|appropriate|fitting|suitable|accurate|answer|choice)\b"
    r"|[\s\"'*_`)\]]*(?:fits|applies|matches|suits)\b|\s+it\s+is\s*(?:[.!,;]|\Z)"
)
# A line that draws the conclusion, and a sentence about the text itself.
CONCLUDED = re.compile(
    r"\b(?:so|thus|therefore|hence|overall|makes\s+(?:it|this)|actually|primarily|mainly|mostly"
    r"|chiefly|conclusion|in\s+short|in\s+summary|ultimately|must\s+be"
    r"|leaves|leaving|verdict|also|donc|por\s+tanto|portanto|поэтому|итого)\b[^.;!?\n]{0,48}\Z"
    r"|(?:=>|->|\u2192|\u21d2|因此|所以|したがって|따라서)[^.;!?\n]{0,24}\Z"
)
OF_THE_TEXT = re.compile(
    r"\b(?:this|it|that|(?:this|the)\s+(?:\w+\s+)?(?:question|post|review|text|comment|statement"
    r"|ticket|message|customer|email|tweet|document|sentence|passage|author|feedback|tone))"
    r"(?:'s|\s+(?:is|was|expresses|conveys|remains|shows))(?:\s+\w+){0,2}?" + _OPENING
)
REFUSED = re.compile(
    r"\b(?:can(?:no|')?t|can\s+not|could\s*(?:not|n't)|unable\s+to|not\s+able\s+to|impossible\s+to"
    r"|(?:hard|difficult)\s+to|won't|refuse\s+to|decline\s+to|do(?:n't|\s+not)\s+know|not\s+sure"
    r"|unsure|not\s+certain)"
    r"(?:\s+\w+){0,3}?\s+(?:classify|determine|decide|say|tell|assign|answer|label|categori[sz]e"
    r"|provide|help|judge|choose|pick|assess|evaluate|rate|comply|if|whether|which|know|make)\b"
    r"|\b(?:not\s+enough|insufficient|more)\s+(?:information|context|detail)|\bno\s+idea\b"
    r"|\bit\s+depends\b"
    r"|无法|不能(?:确定|判断)|不确定|不知道"
    r"|判断(?:でき|がつ)|わかりません|分かりません"
    r"|알\s*수\s*없|판단할\s*수\s*없|모르겠"
    r"|kann\s+(?:\w+\s+){0,4}nicht|weiß\s+(?:\w+\s+)?nicht"
    r"|no\s+(?:puedo|sé)|ne\s+(?:peux|sais)\s+pas|não\s+(?:posso|sei)"
    r"|не\s+(?:могу|знаю)|لا\s+(?:أستطيع|يمكن|أعرف)|ไม่สามารถ|नहीं\s+कर\s+सक|पता\s+नहीं|bilmiyorum"
)
# Between two labels, nothing but this makes a list of them.
_AROUND = r"[ \t*_`\"'(]*"
LISTED = re.compile(
    r"[ \t,/|&+*_`\"'、~-]*(?:(?:(?:and\s+|or\s+)?(?:maybe|perhaps)|and|or|nor|vs\.?|versus|to|from"
    r"|und|oder|noch|ou|et|ni|o|y|u|e|nem|и|или|ни|و|أو|ve|veya|या|और|和|或|还是|与|と|や|か|または|และ|หรือ"
    rf"|또는|과|와|이나|나)(?:\s+(?:an?|the|ein\w*|une?|una?|el|la|le|um|uma))?{_AROUND}"
    rf"|{_AROUND}\n[ \t]*(?:[-*+\u2022]|\d\d?[.)])[ \t]+{_AROUND})?"
)
THAN = re.compile(r"\b(?:than|als|que|чем)\b")
LESS_THAN = re.compile(
    r"\b(?:less|worse|lower|weaker|not|weniger|moins|menos|менее)\b[^.;\n]*?\b(?:than|als|que|чем)\b"
    r"|n't[^.;\n]*\bthan\b"
)
PREFERRED = re.compile(
    r"[\s,]*(?:(?:plutôt|más|mais|eher)\s+)?(?:over|que|als|чем)\s*(?:an?\s+|the\s+)?[\s*_`\"']*"
)
# What joins two labels, wherever it stands between them.
ALSO = re.compile(
    r"\b(?:but\s+also|as\s+well\s+as|sondern\s+auch|mais\s+aussi|sino\s+también|mas\s+também"
    r"|но\s+и)\b|又|并且|同时"
)
CONTRAST = re.compile(r"\b(?:but|however|yet|wait|aber|mais|pero|mas|но)\b|但")
# A label with its own number is one of several that were weighed.
SCORED = re.compile(r"[ \t*_`\"')|]*[:=(|-][ \t]*[\d.]")
# A share of less than a half, behind a label, says rather that it is not the one.
_SHARE = r"[ \t*_`\"')|]*[:=(|-][ \t]*(?:(?:confidence|probability|score)[ :=]*)?"
UNLIKELY = re.compile(_SHARE + r"(?:[0-4]?\d(?:\.\d+)?\s?%|0?\.[0-4]\d*(?![\d%])|0(?![\d.%]))")
# Without spaces, a label is not told from a part of a word or of another statement: it has to stand
# where it is said of something.
SAID_UNSPACED = re.compile(
    r"(?:是|为|為|属于|屬於|归为|选择?|選擇?|表达了|表達了|呈现|体现|倾向|偏向|关于|は|が"
    r"|คือ|เป็น|ว่า|เชิง|แต่|ข่าว|นี้)\s*[\"'*「【(]*\Z"
)
SAID_UNSPACED_BEHIND = re.compile(
    r"\s*(?:\Z|[^\w\s]|\n|的|类|類|倾向|情|评|な|です|でし|である|だ\b|になり|に関|に分|に該|と判|と分|と考|と思|であ"
    r"|입니다|이다|임\b|예요|이에요|이야|적입|적인|적이|으로|로\s|이라고|라고|에\s*관|에\s*해당|에\s*가깝|ครับ|ค่ะ)"
)
