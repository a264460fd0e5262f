/*
 * word_class.c
 *	  Words that say the same, in English, Spanish and French.
 *
 * The classes let the model of meaning.c see that "no me escriban" and "dont
 * text me" are alike.  Words are folded: without accents and apostrophes.  A
 * word is of one class, of the first that lists it.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "common/word_class.h"

#define TABLE_SIZE 4096
#define ENTRIES_MOST 2048
#define SLIP_LEAST 4			/* letters: below, a slip makes another word */

static const struct
{
	PoWordClass class;
	const char *words;
}			classes[] = {
	{PO_CLASS_KEYWORD,
	 "stop stopall unsubscribe unsub cancel end quit optout opt remove revoke alto parar "
	 "baja cancelar detener detenga arret arreter arretez desabonner desinscrire annuler "
	 "cesser"},
	{PO_CLASS_NEGATION,
	 "no not dont donot doesnt didnt wont cant cannot never nobody none neither nor nope "
	 "nah aint isnt wasnt arent without ni nunca jamas tampoco nadie ningun ninguna ne pas "
	 "jamais aucun aucune non sans rien nada dnt ion nvr"},
	{PO_CLASS_STOP,
	 "stops stopped stopping quitting quits cease halt desist discontinue refrain enough "
	 "knock pare paren parale parenle deje deja dejen dejar dejenme dejeme dejame dejanos "
	 "dejenos basta detengan detenganse cese cesen cesa arrete arreten stoppez cessez "
	 "cesse lachez lache suffit assez ends ending ended termine terminen acabe acaben"},
	{PO_CLASS_REMOVE,
	 "removed removing removal delete deleted deleting erase take taking scratch drop "
	 "strike unlist purge scrub wipe get quite quita quiten quitar quitarme quiteme "
	 "quitenme quitame saque saca saquen sacar saqueme saquenme sacame borre borra borren "
	 "borrar borrame borreme borrenme elimine elimina eliminen eliminar eliminame "
	 "elimineme remueva remuevan retirez retire retirer enlevez enleve enlever effacez "
	 "efface effacer supprimez supprime supprimer otez unsubscribed unsubscribing "
	 "desuscribir desuscribirme desuscribeme desabonnez desinscrivez"},
	{PO_CLASS_CONTACT,
	 "text texting txt txting txtin textin call calling callin message messaging msg "
	 "contact contacting email emailing emails mail mailing send sending write writing "
	 "reach reaching hit hitting holler ping pinging solicit soliciting dial ring mande "
	 "manden mandes mandar mandando mandarme mandenme mandeme envie envien envies enviar "
	 "enviando enviarme escriba escriban escribas escribir escribirme escribiendo "
	 "escribeme llame llamen llames llamar llamarme llamando contacte contacten contactes "
	 "contactar contactarme contactando comunique textez texter texte appelez appeler "
	 "appelle ecrivez ecrire ecris envoyez envoyer envoie contactez contacter joindre"},
	{PO_CLASS_MESSAGES,
	 "texts txts messages msgs calls mails spam mensajes mensaje msj msjs mjs sms textos "
	 "texto llamadas llamada correos correo courriels appels appel ads ad solicitations "
	 "promos notifs notifications alerts reminders"},
	{PO_CLASS_BOTHER,
	 "bother bothering bothers harass harassing harassment harassed spamming spammer "
	 "spammers bug bugging annoy annoying pester pestering hassle hassling badgering "
	 "blowing hounding stalking moleste molesten molestes molestar molestando molestarme "
	 "molestia fastidie fastidien fastidiar joda jodan jodas joder jodiendo acose acosen "
	 "acosar acosando acoso chinguen insista insistan insistir deranger derangez derange "
	 "harceler harcelez harcelement achaler achalez ecoeurer ecoeurez importuner gossez "
	 "gosser"},
	{PO_CLASS_LEAVE,
	 "leave lose loose forget alone paz paix tranquille tranquila tranquilo olvidese "
	 "olvidense olvide olvideme oubliez oublie away lost"},
	{PO_CLASS_NUMBER,
	 "number numbers num phone cell line info contacts numero numeros telefono telefonos "
	 "tel celular cel telephone cellulaire digits"},
	{PO_CLASS_LIST,
	 "list lists database databases system records record file rolodex lista listas base "
	 "sistema registro liste listes directory campaign dnc registry"},
	{PO_CLASS_ME,
	 "me us my our mine myself i im ive id ill nos mi mis nuestro nuestra yo moi nous mon "
	 "ma mes je jai family wife husband mother mom"},
	{PO_CLASS_YOU,
	 "you u ya yall your ur yours youre ustedes usted tu tus su sus vous votre vos ton tes "
	 "toi guys people company"},
	{PO_CLASS_AGAIN,
	 "again anymore ever more mas longer forever plus encore otra vez nuevo nuevamente "
	 "another keep still further"},
	{PO_CLASS_LAW,
	 "lawyer attorney attorneys sue suing lawsuit court legal legally illegal fcc ftc tcpa "
	 "violation violating report reporting reported police complaint cops fine abogado "
	 "abogada demanda demandar demandare denuncia denunciar denunciare policia ilegal "
	 "legales avocat poursuite poursuivre plainte crtc tribunal amf bbb sheriff"},
	{PO_CLASS_RUDE,
	 "fuck fucking fucken fuk fck fk f off hell screw damn dammit ass shit bitch bitches "
	 "asshole assholes idiot idiots moron morons scum scumbag scammer scammers stupid "
	 "pendejo pendejos chinga chingada chingar mierda carajo puta puto cabron cabrones "
	 "verga culo diablo huevos merde putain crisse calisse caliss tabarnak tabarnac osti "
	 "esti maudit foutez connard cul stfu gtfo wtf eff piss"},
	{PO_CLASS_PERMISSION,
	 "consent permission authorize authorized authorization opted opting subscribed signed "
	 "sign subscription permiso autorizo autorice consentimiento consentement autorise "
	 "inscrit abonne request requested"},
	{PO_CLASS_BLOCK,
	 "block blocked blocking junk bloquear bloqueo bloqueado bloque bloqueare bloquer "
	 "bloques"},
	{PO_CLASS_DEAL,
	 "interested offer offers price sell selling buy buying house home property cash deal "
	 "pay money much closing quote cost casa oferta precio vender vendo comprar propiedad "
	 "dinero interesa interesado interesada cuanto maison offre prix vendre acheter "
	 "interesse interessee combien terreno terrain land lot"},
	{PO_CLASS_WHEN,
	 "today tomorrow tonight monday tuesday wednesday thursday friday saturday sunday week "
	 "weekend month year later until till am pm morning afternoon evening noon next after "
	 "before hoy manana lunes martes miercoles jueves viernes sabado domingo semana ano "
	 "luego demain lundi mardi mercredi jeudi vendredi samedi dimanche semaine mois annee "
	 "tantot apres"},
	{PO_CLASS_COURTESY,
	 "please pls plz plss pleas plese thanks thank thx ty tks kindly hi hello hey sir maam "
	 "por favor porfa porfavor plis gracias hola buenos buenas dias tardes svp merci "
	 "bonjour bonsoir sil plait"},
	{PO_CLASS_WANT,
	 "want wants wanna wish need needs like would quiero quieren queremos deseo necesito "
	 "veux voulons voudrais souhaite desire want2"},
	{PO_CLASS_ASK,
	 "how who what why when where which como quien que cual donde porque xq comment qui "
	 "quoi pourquoi quand ou quel quelle"},
	{PO_CLASS_YES,
	 "yes yeah yep yup sure ok okay si claro oui ouais daccord absolutely definitely"},
};

/* Short and misspelt forms, and what they are read as. */
static const char *const short_forms[] = {
	"dont dnt dun donot dontt dnot",
	"text txt tex txet texr tect tezt",
	"texting txting textin txtin textn txtn",
	"texts txts",
	"message msg mssg mesage messge",
	"messages msgs mssgs mesages messges",
	"messaging msging messagin",
	"call cal cll cawl",
	"calling callin callng",
	"please pls plz plss plzz pleas pleese plse pleaze",
	"thanks thx thnx tnx tks thanx thnks",
	"you u ya yu",
	"your ur yer",
	"are r",
	"number num nbr numbr numba nummer",
	"the da teh tha",
	"that dat",
	"this dis",
	"with wit w",
	"them dem",
	"and n nd",
	"for fr fur",
	"to too",
	"because cuz bc cus",
	"people ppl",
	"going gonna gon",
	"want wanna",
	"about abt bout",
	"before b4",
	"again agn agen",
	"anymore nemore anymor",
	"now nw rn",
	"unsubscribe unsuscribe unsubcribe unsubscibe unsubsribe unsubscrib",
	"unsubscribe unscribe unsubscript usubscribe",
	"unsubscribed unsuscribed unsubcribed",
	"remove rm remov remoove revome remvoe",
	"delete delet",
	"never nvr nevr",
	"contact contac contct cntact",
	"phone fone ph phon",
	"leave leav leev",
	"alone alon aloan",
	"wrong wrng rong",
	"enough enuf enuff",
	"fuck fuk fck fk fuq",
	"fucking fuckin fucken fkn fking fuckn",
	"mensajes mensages msjs menssajes mensajez",
	"mensaje msj mensage",
	"que q k ke",
	"porque xq pq porq",
	"por x",
	"favor fabor",
	"mas maz",
	"numero nro num numro",
	"ya lla",
	"quiten kiten",
	"quite kite",
	"quiero kiero qiero",
	"llamen yamen",
	"llame yame",
	"esten sten",
	"estoy stoy",
	"mande mandee",
	"plus pu",
	"svp svpp",
	"texto txto",
};

/* Two words that are one. */
static const struct
{
	const char *first;
	const char *second;
	const char *word;
}			compounds[] = {
	{"do", "not", "dont"},
	{"does", "not", "doesnt"},
	{"did", "not", "didnt"},
	{"can", "not", "cant"},
	{"will", "not", "wont"},
	{"is", "not", "isnt"},
	{"i", "am", "im"},
	{"i", "have", "ive"},
	{"i", "will", "ill"},
	{"it", "is", "its"},
	{"you", "are", "youre"},
	{"un", "subscribe", "unsubscribe"},
	{"un", "suscribe", "unsubscribe"},
	{"re", "move", "remove"},
	{"any", "more", "anymore"},
	{"no", "more", "nomore"},
	{"opt", "out", "optout"},
	{"any", "longer", "anylonger"},
};

static const char *const keywords[] = {
	"stop",    "stopall",   "unsubscribe", "cancel",
	"quit",    "optout",    "remove",      "revoke",
	"parar",   "cancelar",  "detener",     "arret",
	"arreter", "desabonner"
};

/* Of the lists above, what is asked of every word; filled in with the table. */
static int	keyword_len[lengthof(keywords)];
static uint32 first_letters;	/* of compounds, a bit for each letter */
static uint32 second_letters;
static uint32 first_hash[lengthof(compounds)];
static uint32 second_hash[lengthof(compounds)];

/* A word of the lists above. */
typedef struct Entry
{
	const char *word;
	int			len;
	PoWordReading reading;
} Entry;

/* Where it is, by its hash. Apart from the entries, so that a look stays in the cache. */
typedef struct Slot
{
	uint16		tag;			/* of the hash */
	uint16		entry;			/* 0: free */
} Slot;

static Slot table[TABLE_SIZE];
static Entry entries[ENTRIES_MOST];
static int	nentries = 1;

/*
 * po_word_hash returns 32 bits of a word; equal in every process.
 */
uint32
po_word_hash(const char *word, int len)
{
	uint32		hash = 0x811C9DC5u;

	for (int i = 0; i < len; i++)
		hash = (hash ^ (unsigned char) word[i]) * 0x01000193u;
	return hash ^ hash >> 15;
}

/* The word's slot, or the free one where it belongs. */
static Slot *
find_slot(const char *word, int len, uint32 hash)
{
	uint16		tag = hash >> 16;

	for (uint32 at = hash;; at++)
	{
		Slot	   *slot = &table[at % TABLE_SIZE];
		const Entry *entry = &entries[slot->entry];

		if (slot->entry == 0 ||
			(slot->tag == tag && entry->len == len && memcmp(entry->word, word, len) == 0))
			return slot;
	}
}

/*
 * Add the words of a list, apart by blanks.  Without a class they are read as
 * the first of them; a word that is there keeps its class.
 */
static void
add_words(const char *list, PoWordClass class)
{
	const PoWordReading *first = NULL;

	for (const char *p = list; *p != '\0'; p += *p == ' ')
	{
		int			len = strcspn(p, " ");
		uint32		hash = po_word_hash(p, len);
		Slot	   *slot = find_slot(p, len, hash);
		Entry	   *entry;

		if (slot->entry == 0)
		{
			Assert(nentries < ENTRIES_MOST);
			*slot = (Slot) {hash >> 16, nentries};
			entries[nentries++] = (Entry) {p, len, {p, len, hash, class}};
		}
		entry = &entries[slot->entry];
		if (class == PO_CLASS_NONE)
		{
			if (first == NULL)
				first = &entry->reading;
			else
				entry->reading = *first;
		}
		p += len;
	}
}

static inline uint32
letter_bit(char c)
{
	return c >= 'a' && c <= 'z' ? 1U << (c - 'a') : 0;
}

static void
fill_table(void)
{
	for (int i = 0; i < (int) lengthof(classes); i++)
		add_words(classes[i].words, classes[i].class);
	for (int i = 0; i < (int) lengthof(short_forms); i++)
		add_words(short_forms[i], PO_CLASS_NONE);
	for (int i = 0; i < (int) lengthof(keywords); i++)
		keyword_len[i] = strlen(keywords[i]);
	for (int i = 0; i < (int) lengthof(compounds); i++)
	{
		first_letters |= letter_bit(compounds[i].first[0]);
		second_letters |= letter_bit(compounds[i].second[0]);
		first_hash[i] = po_word_hash(compounds[i].first, strlen(compounds[i].first));
		second_hash[i] = po_word_hash(compounds[i].second, strlen(compounds[i].second));
	}
}

/*
 * Whether one letter more, less, other, or two letters swapped make a of b.
 */
static bool
is_slip(const char *a, int a_len, const char *b, int b_len)
{
	int			same = 0;
	int			tail = 0;

	if (abs(a_len - b_len) > 1)
		return false;
	while (same < Min(a_len, b_len) && a[same] == b[same])
		same++;
	while (tail < Min(a_len, b_len) - same && a[a_len - 1 - tail] == b[b_len - 1 - tail])
		tail++;
	if (Max(a_len, b_len) - same - tail <= 1)
		return true;
	return a_len == b_len && a_len - same - tail == 2 && a[same] == b[same + 1] &&
		a[same + 1] == b[same];
}

static bool
is_number(const char *word, int len)
{
	for (int i = 0; i < len; i++)
	{
		if (word[i] < '0' || word[i] > '9')
			return false;
	}
	return true;
}

/*
 * po_word_read returns what a folded word is read as.  Its word points into the
 * caller's or is constant.
 */
PoWordReading
po_word_read(const char *word, int len)
{
	uint32		hash = po_word_hash(word, len);
	PoWordReading reading = {word, len, hash, PO_CLASS_NONE};
	const Slot *slot;

	if (nentries == 1)
		fill_table();
	slot = find_slot(word, len, hash);
	if (slot->entry != 0)
		return entries[slot->entry].reading;
	if (is_number(word, len))
		reading.class = PO_CLASS_DIGITS;
	for (int i = 0; len >= SLIP_LEAST && i < (int) lengthof(keywords); i++)
	{
		if (is_slip(word, len, keywords[i], keyword_len[i]))
			reading.class = PO_CLASS_SLIP;
	}
	return reading;
}

/*
 * po_word_join returns the one word that two are, NULL for two that are two.
 */
const char *
po_word_join(const PoWordReading *first, const PoWordReading *second)
{
	if (first->len == 0 || second->len == 0 || (first_letters & letter_bit(first->word[0])) == 0 ||
		(second_letters & letter_bit(second->word[0])) == 0)
		return NULL;
	for (int i = 0; i < (int) lengthof(compounds); i++)
	{
		if (first->hash == first_hash[i] && second->hash == second_hash[i])
			return compounds[i].word;
	}
	return NULL;
}
