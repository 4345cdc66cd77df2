/** German: the first-run guide. */
export default {
  title: "In drei Schritten zur ersten Antwort",
  documents: "Wissen hinzufügen",
  documents_why: "Laden Sie Hilfeartikel, häufige Fragen oder Anleitungen hoch. Jede Antwort stammt daraus.",
  add: "Dateien hochladen",
  write: "Artikel schreiben",
  ask: "Eine Frage stellen",
  ask_why: "Fragen Sie wie ein Kunde. Zu jedem Satz der Antwort steht, woher er kommt.",
  try: "Assistent öffnen",
  share: "Auf die eigene Website bringen",
  share_why: "Eine Zeile in Ihrer Seite zeigt den Assistenten dort. Verlangt der Server Schlüssel, legen Sie zuerst einen für Kunden an.",
};
