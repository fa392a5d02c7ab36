"""The words that stand in a report, in English and Turkish."""

from collections.abc import Mapping
from types import MappingProxyType

from jobs.documents.core.model import Language

_LANGUAGES: tuple[Language, ...] = ("en", "tr")

# One line per text: English, Turkish.
TEXTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "opportunities": ("Contract opportunities", "İhale fırsatları"),
        "analytics": ("Opportunity analytics", "İhale analizi"),
        "notices": ("Notices", "İlanlar"),
        "open": ("Open for response", "Teklife açık"),
        "closing": ("Closing within 7 days", "7 gün içinde kapanıyor"),
        "awarded": ("Awarded", "Sözleşmeye bağlanan"),
        "awarded_in": ("Awarded ({currency})", "Sözleşmeye bağlanan ({currency})"),
        "notice_id": ("Notice ID", "İlan no"),
        "title": ("Title", "Başlık"),
        "solicitation_number": ("Solicitation no.", "İhale no"),
        "type": ("Type", "İlan türü"),
        "agency": ("Department / agency", "Bakanlık / kurum"),
        "posted": ("Posted", "İlan tarihi"),
        "due": ("Response deadline ({zone})", "Son teklif tarihi ({zone})"),
        "set_aside": ("Set-aside", "Ayrılmış kontenjan"),
        "naics": ("NAICS", "NAICS"),
        "place": ("Place of performance", "İfa yeri"),
        "award_amount": ("Award amount", "Sözleşme bedeli"),
        "award_currency": ("Award currency", "Para birimi"),
        "awardee": ("Awardee", "Yüklenici"),
        "link": ("Link", "Bağlantı"),
        "group": ("Breakdown", "Dağılım"),
        "value": ("Value", "Değer"),
        "share": ("Share", "Pay"),
        "awards": ("Awards", "Sözleşmeler"),
        "award_total": ("Award total", "Toplam bedel"),
        "by_month": ("By month", "Aylara göre"),
        "by_notice_type": ("By notice type", "İlan türüne göre"),
        "by_department": ("By department", "Bakanlığa göre"),
        "by_set_aside": ("By set-aside", "Ayrılmış kontenjana göre"),
        "rest": ("Other", "Diğer"),
        "not_stated": ("Not stated", "Belirtilmemiş"),
        "chart_months": ("Notices per month", "Aylara göre ilan sayısı"),
        "chart_quarters": ("Notices per quarter", "Çeyreklere göre ilan sayısı"),
        "summary": ("Summary", "Özet"),
        "tenant": ("Prepared for", "Hazırlanan kurum"),
        "period": ("Period", "Dönem"),
        "as_of": ("As of ({zone})", "Veri zamanı ({zone})"),
        "data_as_of": ("Data as of {instant} ({zone})", "Veriler: {instant} ({zone})"),
        "page_of": ("Page {page} of {pages}", "Sayfa {page} / {pages}"),
        "nothing": ("No notices in this period.", "Bu dönemde ilan yok."),
    }
)


def text(key: str, language: Language, **values: str | int) -> str:
    """A text in a language, its `{names}` filled in. KeyError for a key or a name not known."""
    return TEXTS[key][_LANGUAGES.index(language)].format_map(values)
