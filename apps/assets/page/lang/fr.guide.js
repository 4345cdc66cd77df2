/** French: the first-run guide. */
export default {
  title: "De zéro à la première réponse en trois étapes",
  documents: "Ajoutez vos connaissances",
  documents_why: "Importez des articles d’aide, des FAQ ou des manuels. Chaque réponse en est tirée.",
  add: "Importer des fichiers",
  write: "Écrire un article",
  ask: "Posez une question",
  ask_why: "Demandez comme le ferait un client. Chaque phrase de la réponse indique d’où elle vient.",
  try: "Ouvrir l’assistant",
  share: "Mettez-le sur votre site",
  share_why: "Une ligne dans votre page y affiche l’assistant. Si le serveur demande des clés, créez d’abord une clé client.",
};
