"""What captioning models say when they do not caption, in English, German, French, Spanish and Chinese."""

from __future__ import annotations

from typing import Final

from sluice.measures.phrases import Phrases

REFUSALS: Final = Phrases("""
i'm sorry but i|i am sorry but i|i'm sorry i can't|i'm sorry i cannot|i'm sorry i am|i'm sorry i'm|i apologize but i
sorry but i can't|sorry but i cannot|sorry i can't|sorry i cannot|i can't assist|i cannot assist|i can't help with
i cannot help with|i can't help you|i'm unable to|i am unable to|i'm not able to|i am not able to|i can't describe
i cannot describe|i can't identify|i cannot identify|i can't provide|i cannot provide|i won't be able to
i can't see the image|i cannot see the image|i can't view|i cannot view|i cannot process|i can't process
i can't generate|i cannot generate|i don't see an image|i don't see any image|i do not see any image
no image was provided|i do not have the ability|i don't have the ability|i cannot fulfill|i can't fulfill
i must decline|es tut mir leid aber ich|es tut mir leid ich kann|tut mir leid aber ich|tut mir leid ich kann
entschuldigung aber ich kann|entschuldigung ich kann|leider kann ich|ich kann dabei nicht helfen
ich kann ihnen dabei nicht helfen|ich kann ihnen nicht helfen|ich kann dir dabei nicht helfen
ich bin nicht in der lage|ich kann das bild nicht|ich kann dieses bild nicht|ich kann keine bilder
ich kann keine personen|ich kann diese person nicht|ich kann ihnen keine beschreibung|ich kann keine beschreibung
ich kann diese anfrage nicht|es wurde kein bild|désolé mais je ne|désolée mais je ne|désolé je ne peux
désolée je ne peux|je suis désolé mais je|je suis désolée mais je|je ne peux pas vous aider|je ne peux pas t'aider
je ne peux pas décrire|je ne peux pas identifier|je ne peux pas voir|je ne peux pas fournir|je ne peux pas répondre
je ne suis pas en mesure|je ne suis pas capable|je suis incapable de|je suis dans l'impossibilité
il m'est impossible de|aucune image n'a été fournie|lo siento pero no puedo|lo siento no puedo|lo siento pero no
disculpa pero no puedo|disculpe pero no puedo|no puedo ayudarte|no puedo ayudarle|no puedo ayudar con
no puedo identificar|no puedo describir|no puedo ver la imagen|no puedo ver ninguna imagen|no puedo proporcionar
no puedo generar|no soy capaz de|no tengo la capacidad|no me es posible|no se ha proporcionado ninguna imagen
抱歉我无法|抱歉我不能|抱歉但我|对不起我无法|对不起我不能|不好意思我无法|我无法查看|我无法看到|我无法描述
我无法识别|我无法提供|我无法协助|我无法帮助|我无法回答|我无法处理|我无法满足|我不能提供|我不能描述
我不能识别|我没有能力|无法满足您的|您没有提供图片|没有看到图片
""")
ASSISTANT_TALK: Final = Phrases("""
as an ai|as a language model|as a large language model|as an artificial intelligence|as an assistant|i am an ai
i'm an ai|sure here is|sure here's|sure here are|certainly here is|certainly here's|of course here is|of course here's
absolutely here is|absolutely here's|here is a caption|here's a caption|here is the caption|here's the caption
here is a description|here's a description|here is a detailed|here's a detailed|here is the description
here is a short|here's a short|here is a brief|here's a brief|here is a possible|here's a possible
here is one possible|let me know if|feel free to ask|feel free to|i hope this helps|hope this helps
is there anything else|would you like me to|do you want me to|how can i help|how may i help|happy to help
image you provided|image you've provided|image you have provided|image you uploaded|image you've uploaded
image you shared|image you've shared|image you have shared|photo you provided|picture you provided|i'd be happy to
i would be happy to|my knowledge cutoff|my training data|als ki|als künstliche intelligenz|als sprachmodell
als großes sprachmodell|als ki-sprachmodell|als ki-assistent|hier ist eine beschreibung|hier ist die beschreibung
hier ist eine bildunterschrift|hier ist die bildunterschrift|hier ist eine kurze|hier ist eine detaillierte
gerne hier ist|gern hier ist|natürlich hier ist|klar hier ist|lassen sie mich wissen|lass mich wissen
lassen sie es mich wissen|lass es mich wissen|ich hoffe das hilft|kann ich ihnen sonst noch|kann ich dir sonst noch
ihnen bereitgestellte bild|ihnen bereitgestellten bild|von dir hochgeladene bild|von ihnen hochgeladene bild
ihnen hochgeladenen bild|gerne helfe ich|ich helfe ihnen gerne|en tant qu'ia|en tant qu'intelligence artificielle
en tant que modèle de langage|en tant qu'assistant|en tant que modèle d'ia|voici une description|voici la description
voici une légende|voici la légende|bien sûr voici|certainement voici|n'hésitez pas à me|n'hésite pas à me
j'espère que cela|j'espère que ça|souhaitez-vous que je|image que vous avez fournie|image que vous avez partagée
image que vous avez téléchargée|puis-je vous aider|como modelo de lenguaje|como inteligencia artificial|como una ia
como asistente|como un modelo de lenguaje|aquí tienes una|aquí tiene una|aquí está la descripción|aquí está el pie
aquí hay una descripción|claro aquí|por supuesto aquí|espero que esto ayude|espero que te sea|espero que le sea
avísame si|avíseme si|hazme saber si|imagen que has proporcionado|imagen que ha proporcionado
imagen que proporcionaste|imagen que has compartido|en qué puedo ayudar
作为一个ai|作为ai|作为人工智能|作为一个人工智能|作为语言模型|作为一个语言模型|作为大型语言模型
作为一名ai|以下是图片|以下是对图片|以下是这张|以下是对这张|以下是该图|以下是描述|以下是一个|好的以下
好的这|当然以下|当然可以|希望这对您|希望这对你|希望对您有|希望对你有|如果您有任何|如果你有任何|如果您需要
您提供的图|你提供的图|您上传的图|你上传的图|请告诉我|很高兴为您
""")
INSTRUCTIONS: Final = Phrases("""
describe the image in detail|describe this image in detail|describe the image|describe this image
describe this picture|describe the photo|describe this photo|describe the following image|write a caption
write a short caption|write a detailed caption|write a description|generate a caption|generate a description
create a caption|provide a caption|provide a description|provide a detailed description|provide a brief description
caption this image|caption the image|what is in this image|what is shown in this image|what do you see in this image
you are a helpful|you are an ai|you are an expert|you are a caption|do not mention|your task is to|beschreibe das bild
beschreibe dieses bild|beschreiben sie das bild|beschreiben sie dieses bild|beschreibe das foto
schreibe eine bildunterschrift|erstelle eine bildunterschrift|erstelle eine bildbeschreibung|was ist auf diesem bild
du bist ein hilfreicher|sie sind ein hilfreicher|deine aufgabe ist|décris l'image|décris cette image|décrivez l'image
décrivez cette image|décris la photo|décrivez la photo|écris une légende|rédige une légende|rédigez une légende
écrivez une légende|génère une légende|que voit-on sur cette image|tu es un assistant|vous êtes un assistant
describe la imagen|describe esta imagen|describa la imagen|describa esta imagen|escribe un pie de foto
escriba un pie de foto|genera una descripción|genera un pie|escribe una descripción|qué se ve en esta imagen
eres un asistente|usted es un asistente|描述这张图|描述一下这张|描述该图
描述图片|详细描述这|请描述|请详细描述|请为这张|请为图片|为这张图片写|为图片生成|生成一个标题|生成图片描述
你是一个|你是一名
""")
